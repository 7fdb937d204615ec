import type { Clock } from '../base/clock.ts';
import type { PromptBlocks } from '../routing/blocks.ts';
import type { CacheMatch, CacheView, MatchColumns } from '../routing/policy.ts';
import type { CacheIndex } from './cache-index.ts';
import type { CacheFinding, RoutedBlocks } from './record-ring.ts';
import { IndexTable } from './index-table.ts';
import { allocateTable, usedAt, type TableMemory } from './table-memory.ts';
import { IndexReader } from './table-reader.ts';

/** Knows nothing about any cache. */
export const noCache: CacheView = { match: () => UNKNOWN };

const UNKNOWN: CacheMatch = { tokens: 0, source: 'none' };
const NOT_HELD: CacheMatch = { tokens: 0, source: 'predicted' };

const SWEEP_LIMIT = 20_000;

export interface PredictedIndexOptions {
  /**
   * Hard limit for table and entries together, bytes; at least 1,024. Who holds common blocks takes up to a fiftieth more,
   * with 500 workers.
   */
  readonly maxBytes: number;
  readonly maxBlocksPerWorker: number;
  readonly clock: Clock;
  /** `sweep` drops entries unused for longer; never when absent. */
  readonly idleMs?: number;
  /** Tokens that the cache of the worker in a slot has room for; Infinity where that is not known. */
  readonly capacityOf?: ((slot: number) => number) | undefined;
  /** Told of what this router has routed, so that others can be. The hashes are good until it returns. */
  readonly onRouted?: ((record: RoutedBlocks) => void) | undefined;
  /** Makes its memory: shared, where other threads look at it. */
  readonly allocate?: ((bytes: number) => ArrayBufferLike) | undefined;
}

/** The memory of an index: of its table, and of the former one while entries are being moved from it. */
export interface IndexMemory {
  readonly current: TableMemory;
  readonly former: TableMemory | undefined;
}

/** Tokens that the blocks of a prompt stand for. */
export function tokensOf({ count, tokensPerBlock }: PromptBlocks): number {
  return Math.round(count * tokensPerBlock);
}

/** What one look found, in a router's words. */
export function matchOf(tokens: number): CacheMatch {
  return tokens === 0 ? NOT_HELD : { tokens, source: 'predicted' };
}

/**
 * What each worker's prefix cache is expected to hold, predicted from what was routed to it: a set of (block hash,
 * worker) with least-recently-used eviction, as vLLM evicts. It has room for 4,095 workers; what others hold is not noted.
 *
 * The blocks of a prompt are touched tail first, so a block is always at least as recent as its extensions, and
 * eviction takes extensions first. Hence the blocks held for a worker are closed under prefixes, and the length of a
 * match is found with a few probes (O(log blocks)) instead of a walk.
 */
export class PredictedIndex implements CacheIndex {
  readonly #clock: Clock;
  readonly #allocate: PredictedIndexOptions['allocate'];
  readonly #capacityOf: (slot: number) => number;
  readonly #onRouted: PredictedIndexOptions['onRouted'];
  #maxBytes: number;
  #idleMs: number;
  #table: IndexTable;
  /** After a change of `maxBytes`: what was known before, and the newest entry that has not been moved yet. */
  #former: { readonly table: IndexTable; next: number } | undefined;
  #reader: IndexReader;

  constructor({
    maxBytes,
    maxBlocksPerWorker,
    clock,
    idleMs = Infinity,
    allocate,
    capacityOf = () => Infinity,
    onRouted,
  }: PredictedIndexOptions) {
    if (!(maxBytes >= 1024)) throw new RangeError(`maxBytes must be at least 1024, not ${String(maxBytes)}`);
    this.#clock = clock;
    this.#allocate = allocate;
    this.#capacityOf = capacityOf;
    this.#onRouted = onRouted;
    this.#maxBytes = maxBytes;
    this.#idleMs = idleMs;
    this.#table = new IndexTable(allocateTable(maxBytes, allocate), maxBlocksPerWorker);
    this.#reader = new IndexReader(this.#table.reader);
  }

  /**
   * Other bounds, with what is known kept as far as it fits. Another `maxBytes` needs a table of another size: `sweep`
   * moves the entries there in pieces, newest first; until it is done matches look at both, and both take memory. What
   * an earlier change has not moved yet is forgotten.
   */
  reconfigure({ maxBytes, maxBlocksPerWorker, idleMs = Infinity }: IndexBounds): void {
    this.#idleMs = idleMs;
    if (maxBytes !== this.#maxBytes) {
      const memory = allocateTable(maxBytes, this.#allocate);
      this.#former = { table: this.#table, next: this.#table.newest };
      this.#table = new IndexTable(memory, maxBlocksPerWorker);
      this.#maxBytes = maxBytes;
      this.#reader = new IndexReader(this.#table.reader, this.#former.table.reader);
    } else this.#table.limit(maxBlocksPerWorker);
  }

  /** Entries of present workers. */
  get entries(): number {
    return this.#table.entries;
  }

  /** Memory of table and entries in use, bytes; never above `maxBytes`, except while `sweep` moves entries to a table of another size. */
  get bytes(): number {
    return this.#table.bytes + (this.#former?.table.bytes ?? 0);
  }

  /** For those who look at it from other threads; another one after `reconfigure` with other bytes, and when all is moved. */
  get memory(): IndexMemory {
    return { current: this.#table.memory, former: this.#former?.table.memory };
  }

  entriesOf(slot: number): number {
    return this.#table.entriesOf(slot);
  }

  match(blocks: PromptBlocks, slot: number): CacheMatch {
    return matchOf(this.#reader.match(blocks, slot));
  }

  matchAll(blocks: PromptBlocks, end: number): MatchColumns {
    return this.#reader.matchAll(blocks, end);
  }

  recent(blocks: PromptBlocks, slot: number, withinMs: number): number {
    return this.#reader.match(blocks, slot, usedAt(this.#clock.now() - withinMs));
  }

  record(blocks: PromptBlocks, slot: number, generation = 0, isAgain = false): void {
    const tokens = isAgain ? 0 : tokensOf(blocks);
    this.#note(blocks, slot, tokens);
    const { hashes, count } = blocks;
    this.#onRouted?.({ hashes, count, slot, generation, tokens, finding: undefined });
  }

  /** What another thread has noted. */
  take(record: RoutedBlocks): void {
    if (record.finding) this.learn(record.finding, record.slot);
    else {
      this.#note(record, record.slot, record.tokens);
      this.#onRouted?.(record);
    }
  }

  hear({ hashes, count, slot, tokens }: RoutedBlocks): void {
    this.#note({ hashes, count }, slot, tokens);
  }

  lastUse(blocks: PromptBlocks, slot: number): number | undefined {
    return this.#reader.lastUse(blocks, slot);
  }

  learn(finding: CacheFinding, slot: number): void {
    if (finding.kind === 'forgot') this.#table.giveUp(slot, finding.usedAt, finding.blocks);
    else this.#table.keepMore(slot);
  }

  #note(blocks: Pick<PromptBlocks, 'hashes' | 'count'>, slot: number, tokens: number): void {
    const use = { usedAt: usedAt(this.#clock.now()), tokens, capacity: this.#capacityOf(slot) };
    this.#table.record(blocks, slot, use);
  }

  forget(slot: number): void {
    this.#former?.table.forget(slot);
    this.#table.forget(slot);
  }

  /**
   * Moves what is to be moved to another table, frees entries of workers that left, then drops idle ones; about 20,000
   * at a time so that the event loop is not held up.
   *
   * @returns whether there is more to do.
   */
  sweep(): boolean {
    const budget = this.#move(SWEEP_LIMIT);
    const usedSince = usedAt(this.#clock.now() - this.#idleMs);
    return !this.#table.sweep(budget, usedSince);
  }

  close(): void {
    // Its memory goes with the last who looks at it.
  }

  /** Moves entries from the former table, newest first, which keeps prefixes closed. Returns what is left of `budget`. */
  #move(budget: number): number {
    const former = this.#former;
    if (former === undefined) return budget;
    let left = budget;
    for (; left > 0 && former.next !== 0 && this.#table.hasRoom(); left--) {
      const entry = former.next;
      former.next = former.table.olderThan(entry);
      this.#table.take(former.table, entry);
    }
    if (left > 0) {
      this.#former = undefined;
      this.#reader = new IndexReader(this.#table.reader);
    }
    return left;
  }
}

export type IndexBounds = Pick<PredictedIndexOptions, 'maxBytes' | 'maxBlocksPerWorker' | 'idleMs'>;
