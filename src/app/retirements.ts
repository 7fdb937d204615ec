import type { Clock, Timer } from '../base/clock.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';

export interface RetirementDeps {
  readonly clock: Clock;
  readonly registry: WorkerRegistry;
  /** Drains the worker and removes it. */
  readonly retire: (worker: Worker) => void;
}

/** Workers of one reload that are to go, and those that came with it. */
interface Batch {
  readonly leaving: Set<Worker>;
  readonly joined: readonly Worker[];
  readonly timer: Timer;
}

/**
 * Workers that the configuration no longer names. Where the same reload names others, they go on until those are
 * healthy: a fleet that is replaced as a whole must not be without a worker meanwhile. Each goes as soon as others
 * serve every model that it serves, and at the latest when all that joined have been healthy once, or time is up.
 */
export class Retirements {
  readonly #deps: RetirementDeps;
  readonly #batches = new Set<Batch>();

  constructor(deps: RetirementDeps) {
    this.#deps = deps;
    deps.registry.on(({ type, worker }) => {
      if (this.#batches.size === 0) return;
      if (type === 'left') this.keep(worker);
      if (type === 'healthy' || type === 'models' || type === 'left') this.#advance();
    });
  }

  has(worker: Worker): boolean {
    return [...this.#batches].some(({ leaving }) => leaving.has(worker));
  }

  begin(leaving: readonly Worker[], joined: readonly Worker[], timeoutMs: number): void {
    if (leaving.length === 0) return;
    const batch: Batch = {
      leaving: new Set(leaving),
      joined,
      timer: this.#deps.clock.after(timeoutMs, () => {
        this.#end(batch);
      }),
    };
    this.#batches.add(batch);
    this.#advance();
  }

  /** The worker is named again, or has gone by itself. */
  keep(worker: Worker): void {
    for (const batch of this.#batches) {
      batch.leaving.delete(worker);
      if (batch.leaving.size === 0) this.#forget(batch);
    }
  }

  /** Shutting down: they stay as they are. */
  close(): void {
    for (const batch of this.#batches) this.#forget(batch);
  }

  #advance(): void {
    const { registry } = this.#deps;
    for (const batch of this.#batches) {
      const awaited = batch.joined.some((one) => !one.health.admitted && registry.get(one.id) === one);
      if (!awaited) this.#end(batch);
    }
    if (this.#batches.size === 0) return;
    const served = this.#servedByOthers();
    for (const batch of this.#batches)
      for (const worker of [...batch.leaving])
        if (!worker.health.healthy || isServed(worker, served)) this.#retire(batch, worker);
  }

  /** Models that healthy workers list which stay; undefined where there is no such worker. */
  #servedByOthers(): ReadonlySet<string> | undefined {
    const leaving = new Set([...this.#batches].flatMap((batch) => [...batch.leaving]));
    const staying = this.#deps.registry.workers.filter(
      (worker) => worker.health.healthy && !worker.draining && !leaving.has(worker),
    );
    if (staying.length === 0) return undefined;
    return new Set(staying.flatMap(({ models }) => [...models]));
  }

  #end(batch: Batch): void {
    this.#forget(batch);
    for (const worker of batch.leaving) this.#deps.retire(worker);
  }

  #retire(batch: Batch, worker: Worker): void {
    batch.leaving.delete(worker);
    if (batch.leaving.size === 0) this.#forget(batch);
    this.#deps.retire(worker);
  }

  #forget(batch: Batch): void {
    batch.timer.cancel();
    this.#batches.delete(batch);
  }
}

function isServed({ models }: Worker, served: ReadonlySet<string> | undefined): boolean {
  return served !== undefined && [...models].every((model) => served.has(model));
}
