import type { PromptBlocks } from '../routing/blocks.ts';
import type { CacheFinding, RoutedBlocks } from './record-ring.ts';
import type { CacheMatch, MatchColumns } from '../routing/policy.ts';

/** What the workers' caches are expected to hold, for one thread: it looks at it, and says what goes where. */
export interface CacheIndex {
  match(blocks: PromptBlocks, slot: number): CacheMatch;
  /** The tokens of `match` of all slots below `end` at once. Good until the next call. */
  matchAll(blocks: PromptBlocks, end: number): MatchColumns;
  /** The tokens of `match` that went to the worker in `slot` within the last so many ms, give or take an eighth of a second. */
  recent(blocks: PromptBlocks, slot: number, withinMs: number): number;
  /**
   * Notes that the prompt goes to the worker in `slot`, whose cache will then hold its blocks.
   *
   * @param generation Tells the worker from an earlier or later one of that slot.
   * @param isAgain It is a second chain of a prompt that was noted, and takes no more of the cache.
   */
  record(blocks: PromptBlocks, slot: number, generation: number, isAgain?: boolean): void;
  /** When the last of the prompt's blocks that the worker is expected to hold was used, as `usedAt` gives it; undefined: it holds none. */
  lastUse(blocks: PromptBlocks, slot: number): number | undefined;
  /** What an answer has shown of the worker's cache. */
  learn(finding: CacheFinding, slot: number, generation: number): void;

  // What follows is for the thread that is in control, or alone: elsewhere nothing is done, and nothing counted twice.

  /** What another router has sent to a worker of ours. */
  hear(record: RoutedBlocks): void;
  /** The worker in `slot` left or lost its cache: nothing of it matches any more. */
  forget(slot: number): void;
  /** Some of the work that need not be done at once. Returns whether there is more to do. */
  sweep(): boolean;
  readonly entries: number;
  readonly bytes: number;
  entriesOf(slot: number): number;
  reconfigure(bounds: {
    readonly maxBytes: number;
    readonly maxBlocksPerWorker: number;
    readonly idleMs?: number;
  }): void;
  /** Nobody looks at it any more. */
  close(): void;
}
