import { tokenChain, type ChainScope } from '../../src/routing/token-chain.ts';
import type { PromptBlocks } from '../../src/routing/blocks.ts';
import { PROMPT_PLAN, type Planned } from './index-plan.ts';

/** The plan's prompts as token ids, with what each engine calls their blocks. */
export interface ExactPlanned {
  readonly planned: Planned;
  readonly tokens: Uint32Array;
  readonly chain: PromptBlocks;
  /** Low and high half of each block's name. */
  readonly names: Uint32Array;
}

const BLOCK = 16;
const scope = (salt: string): ChainScope => ({ blockSize: BLOCK, adapter: '', salt });

export const EXACT_PLAN: readonly ExactPlanned[] = PROMPT_PLAN.map((planned) => {
  const { count, hashes } = planned.blocks;
  // Equal blocks have equal hashes, so these stand for what is in them.
  const tokens = Uint32Array.from({ length: BLOCK * count }, (_, at) => hashes[2 * Math.floor(at / BLOCK)]!);
  return {
    ...{ planned, tokens, chain: tokenChain(tokens, scope('')) },
    names: tokenChain(tokens, scope('engine')).hashes,
  };
});
