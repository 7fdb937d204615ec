import type { PromptBlocks } from '../../src/routing/blocks.ts';
import { blocksFromHashIds } from '../../src/routing/hash-ids.ts';

/** What may be recorded for whom: whoever finds anything else has seen what nobody wrote. */

export const SLOTS = 64;
const GROUPS = 4;
/** Blocks that all prompts of a group begin with. */
const SHARED_BLOCKS = 20;
const PROMPTS = 400;

export interface Planned {
  readonly group: number;
  readonly third: number;
  readonly blocks: PromptBlocks;
}

export const PROMPT_PLAN: readonly Planned[] = Array.from({ length: PROMPTS }, (_, prompt) => {
  const group = prompt % GROUPS;
  const ids = Array.from({ length: SHARED_BLOCKS }, (__, block) => 1 + 100 * group + block);
  for (let block = 0; block < 1 + ((prompt * 7) % 40); block++) ids.push(100_000 + 1000 * prompt + block);
  return { group, third: (prompt >> 2) % 3, blocks: blocksFromHashIds(ids, 16, 16 * ids.length) };
});

/** The tokens that the slot's worker can hold of the prompt at most. */
export function mostTokens({ group, third, blocks }: Planned, slot: number): number {
  if (slot % GROUPS !== group) return 0;
  return (slot >> 2) % 3 === third ? blocks.totalTokens : 16 * SHARED_BLOCKS;
}

export function mayBeRecorded(planned: Planned, slot: number): boolean {
  return mostTokens(planned, slot) === planned.blocks.totalTokens;
}
