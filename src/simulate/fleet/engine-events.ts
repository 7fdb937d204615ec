import type { ChainLink } from '../../routing/token-chain.ts';
import type { ScheduleObserver } from '../../sim/engine/schedule-observer.ts';
import type { Sequence } from '../../sim/engine/sequence.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';

/** What happened to a cache. Blocks are their hashes in the trace: low and high half of each. */
export type CacheChange =
  | { readonly kind: 'stored'; readonly blocks: Uint32Array; readonly parent: ChainLink | undefined }
  /** Copies of blocks are on the CPU as well. */
  | { readonly kind: 'offloaded'; readonly blocks: Uint32Array }
  | { readonly kind: 'removed'; readonly blocks: Uint32Array; readonly tier: 'gpu' | 'cpu' };

/** All changes of one step, numbered from 0. */
export interface CacheMessage {
  readonly sequence: number;
  readonly changes: readonly CacheChange[];
}

type Run = 'offloaded' | 'gpu' | 'cpu';

/** Tells those who listen what the caches of one engine gain and lose, in vLLM's order: a message for each step with changes. */
export class EngineEvents implements ScheduleObserver {
  readonly #listeners = new Set<(message: CacheMessage) => void>();
  #sequence = 0;
  #changes: CacheChange[] = [];
  /** Blocks of the same kind one after the other, and of which: told as one change. */
  #run: Run = 'gpu';
  #blocks: number[] = [];

  constructor(model: WorkerModel) {
    model.observer = this;
    model.cache.watch({
      stored: () => undefined,
      removed: (low, high) => this.#add('gpu', low, high),
      cleared: () => undefined,
    });
    model.cpuCache?.watch({
      stored: (low, high) => this.#add('offloaded', low, high),
      removed: (low, high) => this.#add('cpu', low, high),
      cleared: () => undefined,
    });
  }

  /** Returns how to stop it. */
  on(listener: (message: CacheMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The number of the next message. */
  get next(): number {
    return this.#sequence;
  }

  filled({ ask: { hashes } }: Sequence, from: number, to: number): void {
    this.#endRun();
    const parent = from === 0 ? undefined : { low: hashes[2 * from - 2]!, high: hashes[2 * from - 1]! };
    this.#changes.push({ kind: 'stored', blocks: hashes.subarray(2 * from, 2 * to), parent });
  }

  stepped(): void {
    this.#endRun();
    if (this.#changes.length === 0) return;
    const message = { sequence: this.#sequence++, changes: this.#changes };
    this.#changes = [];
    for (const listener of this.#listeners) listener(message);
  }

  #add(run: Run, low: number, high: number): void {
    if (run !== this.#run) this.#endRun();
    this.#run = run;
    this.#blocks.push(low, high);
  }

  #endRun(): void {
    if (this.#blocks.length === 0) return;
    const blocks = Uint32Array.from(this.#blocks);
    this.#blocks = [];
    const run = this.#run;
    this.#changes.push(run === 'offloaded' ? { kind: run, blocks } : { kind: 'removed', blocks, tier: run });
  }
}
