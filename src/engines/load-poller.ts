import type { Clock, Timer } from '../base/clock.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { WorkerClient } from './client.ts';
import { collect } from './collect.ts';

const MAX_METRICS_BYTES = 4 * 1024 * 1024;

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
 * Reads vLLM's `/metrics` now and then, to see the requests that others send to the same workers. The ledger keeps its
 * own exact counts and adds only what goes beyond them.
 */
export class LoadPoller {
  readonly #deps: LoadPollerDeps;
  #times: PollTimes;
  #timer: Timer | undefined;
  #running = false;

  constructor(deps: LoadPollerDeps) {
    this.#deps = deps;
    this.#times = deps;
    deps.ledger.setExternalTtl(3 * deps.intervalMs);
  }

  start(): void {
    this.#running = true;
    this.#schedule();
  }

  stop(): void {
    this.#running = false;
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

  #schedule(): void {
    this.#timer?.cancel();
    const { intervalMs } = this.#times;
    if (!this.#running || intervalMs === 0) return;
    this.#timer = this.#deps.clock.after(intervalMs, () => {
      void this.#poll().finally(() => {
        this.#schedule();
      });
    });
  }

  async #poll(): Promise<void> {
    const servers = Map.groupBy(
      this.#deps.registry.workers.filter((worker) => worker.health.healthy),
      (worker) => worker.spec.baseUrl,
    );
    await Promise.all([...servers.values()].map((ranks) => this.#ask(ranks)));
  }

  /** The ranks of one server share one answer. */
  async #ask(ranks: readonly Worker[]): Promise<void> {
    const [first] = ranks;
    if (!first) return;
    const { clientOf, clock, ledger } = this.#deps;
    const { timeoutMs } = this.#times;
    const headers = first.spec.apiKey === undefined ? [] : ['authorization', `Bearer ${first.spec.apiKey}`];
    for (const { slot } of ranks) ledger.watchOwn(slot);
    const request = { method: 'GET', path: '/metrics', headers, body: undefined, upgrade: undefined };
    const answer = await collect(clientOf(first), request, clock, { timeoutMs, maxBytes: MAX_METRICS_BYTES });
    if (answer.kind !== 'response' || answer.status !== 200) return;
    const byEngine = requestsByEngine(answer.body.toString('utf8'));
    for (const worker of ranks) {
      const reported = reportedFor(byEngine, worker.spec.rank);
      if (reported === undefined || this.#deps.registry.get(worker.id) !== worker) continue;
      ledger.setExternal(worker.slot, reported, ledger.mostOwn(worker.slot), clock.now());
    }
  }
}

const SERIES = /^vllm:num_requests_(?:running|waiting)(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
const ENGINE_LABEL = /(?:^|,)\s*engine="(\d+)"/;

/** Running and waiting requests of each engine (data-parallel rank), by vLLM's `engine` label. */
export function requestsByEngine(exposition: string): Map<number, number> {
  const counts = new Map<number, number>();
  for (const line of exposition.split('\n')) {
    const match = SERIES.exec(line);
    if (!match) continue;
    const engine = Number(ENGINE_LABEL.exec(match[1] ?? '')?.[1] ?? 0);
    const value = Number(match[2]);
    if (Number.isFinite(value)) counts.set(engine, (counts.get(engine) ?? 0) + value);
  }
  return counts;
}

/** A worker without a rank is the whole server, whose engines add up. */
function reportedFor(byEngine: ReadonlyMap<number, number>, rank: number | undefined): number | undefined {
  if (byEngine.size === 0) return undefined;
  if (rank !== undefined) return byEngine.get(rank);
  return [...byEngine.values()].reduce((sum, count) => sum + count, 0);
}
