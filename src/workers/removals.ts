import type { Clock } from '../base/clock.ts';
import { Drain, type DrainEnd } from './drain.ts';
import type { Job, JobQueue } from './jobs.ts';
import type { LoadLedger } from './ledger.ts';
import type { WorkerRegistry } from './registry.ts';
import type { Worker } from './worker.ts';

export interface Removal<About> {
  readonly job: Job<About>;
  /** Time until what still runs is cut. */
  readonly leftMs: number;
}

export type RemovalOutcome<About> =
  | ({ readonly kind: 'accepted' } & Removal<About>)
  /** All of them were being removed before. */
  | ({ readonly kind: 'draining' } & Removal<About>)
  /** Some of them are being removed under this very name. */
  | { readonly kind: 'conflict'; readonly message: string }
  | { readonly kind: 'full' };

export interface RemovalsDeps<About> {
  readonly registry: WorkerRegistry;
  readonly ledger: LoadLedger;
  readonly clock: Clock;
  readonly jobs: JobQueue<About>;
  /** A worker has left the registry; `cut` = requests that were ended because the time was up. */
  readonly onRemoved: (worker: Worker, cut: number) => void;
}

interface Active<About> {
  readonly drain: Drain;
  readonly job: Job<About>;
}

/** Drains workers and then removes them, each removal one job that can be called off until its last worker has left. */
export class Removals<About> {
  readonly #deps: RemovalsDeps<About>;
  readonly #active = new Map<Worker, Active<About>>();

  constructor(deps: RemovalsDeps<About>) {
    this.#deps = deps;
  }

  has(worker: Worker): boolean {
    return this.#active.has(worker);
  }

  of(worker: Worker): Removal<About> | undefined {
    const active = this.#active.get(worker);
    return active && { job: active.job, leftMs: active.drain.leftMs };
  }

  /** From now on they get no new requests. A limit given for workers that are being removed already counts from now. */
  start(
    target: string,
    workers: readonly Worker[],
    about: About,
    limit: { readonly timeoutMs: number; readonly explicit: boolean },
  ): RemovalOutcome<About> {
    const fresh = workers.filter((worker) => !this.#active.has(worker));
    if (fresh.length > 0) return this.#begin(target, fresh, about, limit.timeoutMs);
    const active = workers.flatMap((worker) => this.#active.get(worker) ?? []);
    if (limit.explicit) for (const { drain } of active) drain.limit(limit.timeoutMs);
    const [first] = active;
    if (!first) return { kind: 'conflict', message: `${target} stands for no worker` };
    return { kind: 'draining', job: first.job, leftMs: Math.max(...active.map(({ drain }) => drain.leftMs)) };
  }

  /** Calls off the removal of those that are being removed: they take requests again. Returns which. */
  cancel(workers: readonly Worker[]): readonly Worker[] {
    const kept: Worker[] = [];
    for (const worker of workers) {
      const active = this.#active.get(worker);
      if (!active?.drain.cancel()) continue;
      this.#active.delete(worker);
      kept.push(worker);
      if (![...this.#active.values()].some(({ job }) => job === active.job))
        this.#deps.jobs.cancel(active.job, 'registered again');
    }
    return kept;
  }

  #begin(target: string, workers: readonly Worker[], about: About, timeoutMs: number): RemovalOutcome<About> {
    const { clock, ledger, jobs } = this.#deps;
    const drains = workers.map((worker) => new Drain(worker, { clock, ledger, timeoutMs }));
    const submitted = jobs.submit({
      kind: 'remove',
      target,
      about,
      step: async () => {
        await Promise.all(drains.map((drain) => this.#carryOut(drain)));
        return { kind: 'done' };
      },
    });
    if (submitted.kind === 'accepted') {
      const { job } = submitted;
      for (const drain of drains) this.#active.set(drain.worker, { drain, job });
      return { kind: 'accepted', job, leftMs: timeoutMs };
    }
    for (const drain of drains) drain.cancel();
    if (submitted.kind === 'full') return submitted;
    return { kind: 'conflict', message: `${target} has another job that has not ended` };
  }

  async #carryOut(drain: Drain): Promise<void> {
    const { worker } = drain;
    const end: DrainEnd = await drain.ended;
    if (end === 'cancelled') return;
    this.#active.delete(worker);
    this.#deps.registry.remove(worker);
    this.#deps.onRemoved(worker, drain.cut);
  }
}
