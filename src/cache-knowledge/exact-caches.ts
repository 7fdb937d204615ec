import type { PromptBlocks } from '../routing/blocks.ts';

/** What workers hold, as their engines' events say. It may change between any two calls. */
export interface ExactCaches {
  /** Whether the events of the worker in the slot are received, so that what it holds is known. */
  isLive(slot: number): boolean;
  /**
   * Whether all that the live worker in the slot holds is known. Else what it held before something was missed, or before one began to
   * listen, is not, and it may hold more than `match` says.
   */
  isWhole(slot: number): boolean;
  /** Tokens of a block of the worker in the slot; 0 while none has been told of. */
  blockSize(slot: number): number;
  /** How many leading blocks the worker in the slot holds, wherever they lie; negative where that is not known. */
  match(chain: PromptBlocks, slot: number): number;
  /** `match` of all slots below `end`, by slot. Good until the next call. */
  matchAll(chain: PromptBlocks, end: number): ArrayLike<number>;
  /** Whether the worker in the slot has blocks that do not lie in the memory of its GPU. */
  isAway(slot: number): boolean;
  /** Where the blocks lie that `match` has found. */
  tiers(chain: PromptBlocks, slot: number): { readonly cpu: number; readonly disk: number };
}
