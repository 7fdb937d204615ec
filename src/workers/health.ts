import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { HealthSettings } from '../config/settings/settings.ts';
import type { RegistryEvent, WorkerRegistry } from './registry.ts';
import type { EngineState, Worker } from './worker.ts';

export interface ProbeResult {
  readonly ok: boolean;
  /** Why it failed. */
  readonly reason?: string;
  /** The router could not ask: that says nothing about the worker. */
  readonly unasked?: boolean;
  /** What `/v1/models` answered: the names, and its entries as they came. Absent where it was not read. */
  readonly models?: { readonly ids: Iterable<string>; readonly cards: readonly unknown[] };
  /** Whether its engine sleeps or is paused. Absent where it was not asked. */
  readonly engine?: EngineState;
}

/**
 * Asks a worker how it is. `signal` is aborted at the check's timeout and when the answer is no longer wanted. `anew`: on a connection
 * that is made for it, since a request could not make one; those that are kept may be the last that it takes.
 */
export type Probe = (worker: Worker, signal: AbortSignal, anew: boolean) => Promise<ProbeResult>;

/** How often and how long workers are asked. */
export interface HealthTimes {
  readonly settings: HealthSettings;
  /** How long `waitForFirst` waits unless told otherwise. */
  readonly startupTimeoutMs: number;
  /** Longest pause between the checks of a worker that was never healthy. */
  readonly startupCheckIntervalMs: number;
}

export interface HealthCheckerDeps extends HealthTimes {
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly probe: Probe;
}

const FIRST_PAUSE_MS = 200;
/** The router lacked a socket, and may have one any moment. */
const UNASKED_PAUSE_MS = 200;
const JITTER = 0.1;
/** Requests for a model that is gone may come by the thousand: their doubts come to one check in this time. */
const DOUBT_PAUSE_MS = 1000;
/** Longest pause while an engine sleeps or is paused: nobody says when it goes on. */
const ASLEEP_PAUSE_MS = 5_000;

/** One base URL; its data-parallel ranks are one server and share its checks. */
interface Target {
  readonly workers: Set<Worker>;
  timer: Timer | undefined;
  /** The check under way. */
  probing: AbortController | undefined;
  startupPauseMs: number;
  /** When the last check began. */
  checkedAt: number;
  /** Whether the next periodic check is the first one, put anywhere in the interval to spread a fleet over it. */
  spread: boolean;
}

/**
 * Checks every registered worker: a new one at once, then after 0.2 s doubling up to the start-up interval until it
 * first answers; after that periodically with jitter, and at once when a request finds it unreachable or without a model
 * that it lists, or when its silence makes it suspect. At most one check per server is under way.
 */
export class HealthChecker {
  readonly #deps: HealthCheckerDeps;
  #times: HealthTimes;
  readonly #targets = new Map<string, Target>();
  readonly #waiting = new Set<(healthy: boolean) => void>();
  #unsubscribe: (() => void) | undefined;

  constructor(deps: HealthCheckerDeps) {
    this.#deps = deps;
    this.#times = deps;
  }

  /** Other times from now on: whoever waits for a check waits no longer than they allow. Checks under way go on. */
  reconfigure(times: HealthTimes): void {
    const before = this.#times;
    this.#times = times;
    const { settings, startupCheckIntervalMs } = times;
    const sooner =
      settings.intervalMs < before.settings.intervalMs ||
      startupCheckIntervalMs < before.startupCheckIntervalMs;
    // A check that is due in an hour by the old interval must not keep the new one waiting for that long.
    if (sooner)
      for (const target of this.#targets.values())
        if (target.probing === undefined) {
          target.spread = true;
          this.#schedule(target, this.#pauseMs(target));
        }
  }

  start(): void {
    if (this.#unsubscribe !== undefined) return;
    this.#unsubscribe = this.#deps.registry.onFleet((event) => {
      this.#onEvent(event);
    });
    for (const worker of this.#deps.registry.fleet) this.#join(worker);
  }

  /** Ends all checks, those under way included. */
  stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    for (const target of this.#targets.values()) end(target);
    this.#targets.clear();
    for (const settle of [...this.#waiting]) settle(false);
  }

  /** Checks a worker without waiting for its time; a check under way is enough. */
  checkNow(worker: Worker, anew = false): void {
    const target = this.#targets.get(worker.spec.baseUrl);
    if (target?.workers.has(worker)) this.#check(target, anew);
  }

  /** True as soon as one worker is healthy, false after `timeoutMs` or when stopped before. */
  waitForFirst(timeoutMs = this.#times.startupTimeoutMs): Promise<boolean> {
    const { fleet, externals } = this.#deps.registry;
    // Providers are not asked how they are; where there is nobody else, that has to do.
    const there = fleet.length > 0 ? fleet : externals;
    if (there.some((worker) => worker.health.healthy)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (healthy: boolean): void => {
        timer.cancel();
        this.#waiting.delete(settle);
        resolve(healthy);
      };
      const timer = this.#deps.clock.after(timeoutMs, () => {
        settle(false);
      });
      this.#waiting.add(settle);
    });
  }

  #onEvent(event: RegistryEvent): void {
    if (event.type === 'joined') this.#join(event.worker);
    else if (event.type === 'left') this.#leave(event.worker);
    else if (event.type === 'unreachable') this.checkNow(event.worker, true);
    else if (event.type === 'suspect') this.checkNow(event.worker);
    else if (event.type === 'models_doubted') this.#checkSoon(event.worker);
    else if (event.type === 'healthy') for (const settle of [...this.#waiting]) settle(true);
  }

  #join(worker: Worker): void {
    const { registry, random } = this.#deps;
    let target = this.#targets.get(worker.spec.baseUrl);
    if (target === undefined) {
      target = {
        workers: new Set(),
        timer: undefined,
        probing: undefined,
        startupPauseMs: 0,
        checkedAt: -Infinity,
        spread: true,
      };
      this.#targets.set(worker.spec.baseUrl, target);
    }
    target.workers.add(worker);
    target.startupPauseMs = FIRST_PAUSE_MS;
    // Thousands of workers joining at once must not all be asked in one turn of the event loop.
    const spreadMs = Math.min(FIRST_PAUSE_MS, registry.fleet.length / 2);
    if (target.probing === undefined) this.#schedule(target, random() * spreadMs);
  }

  #leave(worker: Worker): void {
    const target = this.#targets.get(worker.spec.baseUrl);
    if (!target?.workers.delete(worker) || target.workers.size > 0) return;
    end(target);
    this.#targets.delete(worker.spec.baseUrl);
  }

  /** As soon as the last check is a while ago. One under way may have read the list before. */
  #checkSoon(worker: Worker): void {
    const target = this.#targets.get(worker.spec.baseUrl);
    if (!target?.workers.has(worker) || target.probing !== undefined) return;
    // Its own checks come sooner.
    if (!worker.health.healthy || this.#times.settings.intervalMs <= DOUBT_PAUSE_MS) return;
    const waitMs = target.checkedAt + DOUBT_PAUSE_MS - this.#deps.clock.now();
    if (waitMs <= 0) this.#check(target);
    else this.#schedule(target, waitMs);
  }

  #schedule(target: Target, delayMs: number): void {
    target.timer?.cancel();
    target.timer = this.#deps.clock.after(delayMs, () => {
      this.#check(target);
    });
  }

  #check(target: Target, anew = false): void {
    const [worker] = target.workers;
    if (target.probing !== undefined || worker === undefined) return;
    const { clock } = this.#deps;
    const { settings } = this.#times;
    const controller = new AbortController();
    const settle = (result: ProbeResult): void => {
      // An answer after the timeout, or after the target was given up, says nothing any more.
      if (target.probing !== controller) return;
      target.probing = undefined;
      if (result.unasked !== true) this.#report(target, result);
      // A listener may have removed the last worker, or stopped the checks.
      if (this.#targets.get(worker.spec.baseUrl) === target)
        this.#schedule(target, result.unasked === true ? UNASKED_PAUSE_MS : this.#pauseMs(target));
    };
    target.probing = controller;
    target.checkedAt = clock.now();
    target.timer?.cancel();
    target.timer = clock.after(settings.timeoutMs, () => {
      settle({ ok: false, reason: `no answer within ${String(settings.timeoutMs)} ms` });
      controller.abort();
    });
    void this.#ask(worker, controller.signal, anew).then(settle);
  }

  async #ask(worker: Worker, signal: AbortSignal, anew: boolean): Promise<ProbeResult> {
    try {
      return await this.#deps.probe(worker, signal, anew);
    } catch (error) {
      return { ok: false, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #report(target: Target, result: ProbeResult): void {
    for (const worker of [...target.workers]) {
      // Before the worker becomes eligible, so that it never stands in the wrong pools.
      if (result.models !== undefined) {
        this.#deps.registry.setModels(worker, new Set(result.models.ids), result.models.cards);
      }
      if (result.engine !== undefined) this.#deps.registry.setEngine(worker, result.engine);
      this.#deps.registry.reportCheck(worker, result.ok, result.reason);
    }
  }

  #pauseMs(target: Target): number {
    const { random } = this.#deps;
    const { settings, startupCheckIntervalMs } = this.#times;
    for (const worker of target.workers) {
      if (worker.health.admitted) continue;
      const pauseMs = Math.min(target.startupPauseMs, startupCheckIntervalMs);
      target.startupPauseMs = 2 * pauseMs;
      return pauseMs;
    }
    if (target.spread) {
      target.spread = false;
      return random() * settings.intervalMs;
    }
    const isAsleep = [...target.workers].some(({ engine }) => engine !== 'running');
    const intervalMs = isAsleep ? Math.min(ASLEEP_PAUSE_MS, settings.intervalMs) : settings.intervalMs;
    return intervalMs * (1 - JITTER + 2 * JITTER * random());
  }
}

function end(target: Target): void {
  target.timer?.cancel();
  target.timer = undefined;
  const { probing } = target;
  target.probing = undefined;
  probing?.abort();
}
