import type { Clock, Timer } from '../base/clock.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { WorkerClient } from './client.ts';
import { collect } from './collect.ts';
import { probeHeaders } from './http/probe.ts';
import { engineOf, readEngines } from './engine-report.ts';

const MAX_METRICS_BYTES = 4 * 1024 * 1024;

/** Servers that are asked in one go; what there are more is spread, so that no stream waits for hundreds of connections. */
const AT_ONCE = 16;
/** The largest part of a period that they are spread over. */
const SPREAD = 0.5;
/** While nothing is sent to anybody, a server is asked only once in this time for each server that there is. */
const REST_MS_PER_SERVER = 80;

export interface PollTimes {
  /** 0 = never. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface LoadPollerDeps extends PollTimes {
  readonly registry: WorkerRegistry;
  readonly ledger: LoadLedger;
  readonly clock: Clock;
  readonly clientOf: (worker: Worker) => WorkerClient;
}

/**
 * Reads vLLM's `/metrics` now and then, to see the requests that others send to the same workers, and how large their caches
 * are. The ledger keeps its own exact counts and adds only what goes beyond them. Who becomes healthy is asked at once, too.
 */
export class LoadPoller {
  readonly #deps: LoadPollerDeps;
  #times: PollTimes;
  #timer: Timer | undefined;
  #running = false;
  /** When the last round began, and what had been sent to workers by the one before it. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #sent = 0;
  /** How many there were in that round. */
  #servers = 0;
  /** Servers that have just become healthy. Their ranks do together. */
  readonly #first = new Set<string>();
  #unsubscribe: () => void = () => undefined;

  constructor(deps: LoadPollerDeps) {
    this.#deps = deps;
    this.#times = deps;
    deps.ledger.setExternalTtl(3 * deps.intervalMs);
  }

  start(): void {
    this.#running = true;
    this.#unsubscribe = this.#deps.registry.onFleet(({ type, worker }) => {
      if (type === 'healthy' && this.#times.intervalMs > 0) this.#askFirst(worker.spec.baseUrl);
    });
    this.#schedule();
  }

  stop(): void {
    this.#running = false;
    this.#unsubscribe();
    this.#first.clear();
    this.#timer?.cancel();
  }

  /** Another period, which begins now. A poll under way goes on. */
  reconfigure(times: PollTimes): void {
    const same = times.intervalMs === this.#times.intervalMs;
    this.#times = times;
    if (same) return;
    this.#deps.ledger.setExternalTtl(3 * times.intervalMs);
    this.#schedule();
  }

  #schedule(spreadMs = 0): void {
    this.#timer?.cancel();
    const { intervalMs } = this.#times;
    if (!this.#running || intervalMs === 0) return;
    this.#timer = this.#deps.clock.after(Math.max(0, intervalMs - spreadMs), () => {
      void this.#poll().then((spread) => {
        this.#schedule(spread);
      });
    });
  }

  /** Returns over how many ms it was spread. */
  async #poll(): Promise<number> {
    const { registry, ledger, clock } = this.#deps;
    const { intervalMs } = this.#times;
    const now = clock.now();
    if (this.#isIdle() && now - this.#askedAt < REST_MS_PER_SERVER * this.#servers) return 0;
    const healthy = registry.fleet.filter((worker) => worker.health.healthy);
    const servers = [...Map.groupBy(healthy, (worker) => worker.spec.baseUrl).values()];
    this.#askedAt = now;
    this.#servers = servers.length;
    ledger.setExternalTtl(3 * Math.max(intervalMs, REST_MS_PER_SERVER * servers.length));
    const spreadMs = servers.length > AT_ONCE ? SPREAD * intervalMs : 0;
    const goes: Promise<void>[] = [];
    for (let first = 0; first < servers.length; first += AT_ONCE) {
      const together = servers.slice(first, first + AT_ONCE);
      goes.push(this.#askLater((spreadMs * first) / servers.length, together));
    }
    await Promise.all(goes);
    return spreadMs;
  }

  #askFirst(baseUrl: string): void {
    if (this.#first.has(baseUrl)) return;
    this.#first.add(baseUrl);
    queueMicrotask(() => {
      if (!this.#first.delete(baseUrl)) return;
      void this.#ask(this.#deps.registry.fleet.filter(({ spec }) => spec.baseUrl === baseUrl));
    });
  }

  /** Whether nothing is under way, and nothing was sent to any worker since the last time. */
  #isIdle(): boolean {
    const { registry, ledger } = this.#deps;
    const before = this.#sent;
    this.#sent = registry.fleet.reduce((sum, { processed }) => sum + processed, 0);
    return ledger.openLeases === 0 && this.#sent === before;
  }

  async #askLater(delayMs: number, servers: readonly (readonly Worker[])[]): Promise<void> {
    if (delayMs > 0)
      await new Promise<void>((resolve) => {
        this.#deps.clock.after(delayMs, resolve);
      });
    if (this.#running) await Promise.all(servers.map((ranks) => this.#ask(ranks)));
  }

  /** The ranks of one server share one answer. */
  async #ask(ranks: readonly Worker[]): Promise<void> {
    const [first] = ranks;
    if (!first) return;
    const { clientOf, clock, ledger } = this.#deps;
    const { timeoutMs } = this.#times;
    for (const { slot } of ranks) ledger.watchKnown(slot);
    const request = {
      method: 'GET',
      path: '/metrics',
      headers: probeHeaders(first.spec),
      body: undefined,
      upgrade: undefined,
      reserved: true,
    };
    const answer = await collect(clientOf(first), request, clock, { timeoutMs, maxBytes: MAX_METRICS_BYTES });
    if (answer.kind !== 'response' || answer.status !== 200) return;
    const engines = readEngines(answer.body.toString('latin1'));
    for (const worker of ranks) {
      const { requests, work, cache } = engineOf(engines, worker.spec.rank);
      if (this.#deps.registry.get(worker.id) !== worker) continue;
      if (cache !== undefined) this.#deps.registry.setCacheConfig(worker, cache);
      if (requests !== undefined)
        ledger.setExternal(worker.slot, requests, ledger.mostKnown(worker.slot), clock.now());
      if (work !== undefined) worker.progress.report(work, clock.now());
    }
  }
}
