import type { Clock, Timer } from '../base/clock.ts';
import type { StallSettings } from '../config/settings/settings.ts';
import type { Awaited } from './in-flight.ts';
import type { RegistryEvent, WorkerRegistry } from './registry.ts';
import type { Worker } from './worker.ts';

/** What is asked of a worker to see whether it moves: a little of what it was silent about. */
export type StalledRequest = Pick<Awaited, 'route' | 'model'>;

/**
 * `silent`: no answer in time; `failed`: none that could have come from a sound engine; `unasked`: the router could not
 * ask, which says nothing about the worker.
 */
export type StallProbeEnd = 'answered' | 'silent' | 'failed' | 'unasked';

export type StallProbe = (
  worker: Worker,
  request: StalledRequest,
  limits: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<StallProbeEnd>;

export interface StallWatchDeps {
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly settings: StallSettings;
  readonly probe: StallProbe;
  readonly onProbed?: (worker: Worker, end: StallProbeEnd) => void;
}

const LOOK_EVERY_MS = 1_000;
const LEAST_PROBE_MS = 10_000;
/** A probe may take this many times the usual time to the first token. */
const PROBE_PATIENCE = 3;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** What is known against one worker. */
interface Case {
  readonly about: StalledRequest;
  /** The probe under way. */
  probing: AbortController | undefined;
  probeAt: number;
  pauseMs: number;
}

/**
 * Looks every second for workers that have requests and say nothing. One that has been silent for too long is suspect: it
 * gets no new requests where another worker can take them, and is probed. A probe without an answer, while nothing else
 * came either, makes it stalled, until a probe is answered; the pauses between them double. Requests that it has are not
 * touched.
 */
export class StallWatch {
  readonly #deps: StallWatchDeps;
  #settings: StallSettings;
  readonly #cases = new Map<Worker, Case>();
  #timer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(deps: StallWatchDeps) {
    this.#deps = deps;
    this.#settings = deps.settings;
  }

  start(): void {
    this.#unsubscribe ??= this.#deps.registry.onFleet((event) => {
      this.#onEvent(event);
    });
    this.#schedule();
  }

  /** Ends all probes, those under way included. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    for (const { probing } of this.#cases.values()) probing?.abort();
    this.#cases.clear();
  }

  /** Other bounds from now on. Switched off, nobody is suspect any more. */
  reconfigure(settings: StallSettings): void {
    this.#settings = settings;
    if (!settings.enabled) for (const worker of [...this.#cases.keys()]) this.#restart(worker);
  }

  #schedule(): void {
    this.#timer = this.#deps.clock.after(LOOK_EVERY_MS, () => {
      if (this.#settings.enabled) for (const worker of this.#deps.registry.fleet) this.#look(worker);
      // A listener may have stopped it.
      if (this.#unsubscribe !== undefined) this.#schedule();
    });
  }

  #look(worker: Worker): void {
    // What it is silent for is known.
    if (!worker.health.healthy || worker.engine !== 'running') return;
    const { progress, inFlight } = worker;
    const open = this.#cases.size === 0 ? undefined : this.#cases.get(worker);
    if (open === undefined && inFlight.size === 0 && !progress.isAwaited) return;
    const now = this.#deps.clock.now();
    const moved = progress.look(now, inFlight);
    if (open === undefined) {
      const overdue = moved ? undefined : progress.overdue(now, inFlight, this.#settings);
      if (overdue !== undefined) this.#suspect(worker, overdue, now);
    } else if (moved && progress.state === 'suspect') {
      this.#clear(worker, open);
    } else if (open.probing === undefined && (moved || now >= open.probeAt)) {
      this.#probe(worker, open);
    }
  }

  #suspect(worker: Worker, { route, model }: Awaited, now: number): void {
    const opened: Case = {
      about: { route, model },
      probing: undefined,
      probeAt: now,
      pauseMs: FIRST_PAUSE_MS,
    };
    this.#cases.set(worker, opened);
    this.#deps.registry.setProgress(worker, 'suspect');
    // A listener may have found out more.
    if (this.#cases.get(worker) === opened) this.#probe(worker, opened);
  }

  #probe(worker: Worker, open: Case): void {
    const { clock } = this.#deps;
    const { progress } = worker;
    const controller = new AbortController();
    open.probing = controller;
    const timeoutMs = Math.max(LEAST_PROBE_MS, PROBE_PATIENCE * progress.medianFirstTokenMs);
    const signs = progress.allSigns;
    void this.#ask(worker, open.about, { timeoutMs, signal: controller.signal }).then((end) => {
      if (open.probing !== controller || this.#cases.get(worker) !== open) return;
      open.probing = undefined;
      this.#deps.onProbed?.(worker, end);
      const now = clock.now();
      if (end === 'answered') {
        progress.proved(now);
        this.#clear(worker, open);
        return;
      }
      open.probeAt = now + open.pauseMs;
      if (end === 'unasked') return;
      open.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * open.pauseMs);
      // Something came beside the probe: the next look sees it.
      if (progress.allSigns === signs) this.#deps.registry.setProgress(worker, 'stalled');
    });
  }

  async #ask(...[worker, about, limits]: Parameters<StallProbe>): Promise<StallProbeEnd> {
    try {
      return await this.#deps.probe(worker, about, limits);
    } catch {
      return 'failed';
    }
  }

  #clear(worker: Worker, open: Case): void {
    this.#cases.delete(worker);
    open.probing?.abort();
    this.#deps.registry.setProgress(worker, 'moving');
  }

  #restart(worker: Worker): void {
    worker.progress.restart(this.#deps.clock.now());
    const open = this.#cases.get(worker);
    if (open) this.#clear(worker, open);
  }

  #onEvent({ type, worker }: RegistryEvent): void {
    if (type === 'left') {
      this.#cases.get(worker)?.probing?.abort();
      this.#cases.delete(worker);
    } else if (type === 'unhealthy' || type === 'asleep' || type === 'awake') this.#restart(worker);
  }
}
