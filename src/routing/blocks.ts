/**
 * A prompt as policies see it: a chain of 64-bit block hashes, never text. Block i's hash covers blocks 0..i, so two
 * prompts share exactly the blocks of their common prefix, and equal hashes at i mean equal prompts up to there.
 */
export interface PromptBlocks {
  /** Number of full blocks. */
  readonly count: number;
  /** `2 * count` words: low then high half of each block's chained hash. */
  readonly hashes: Uint32Array;
  /** Tokens that one full block stands for; an estimate unless the prompt came as token ids. */
  readonly tokensPerBlock: number;
  /** Tokens of the whole prompt, the part behind the last full block included; estimated likewise. */
  readonly totalTokens: number;
  /** Whether the token counts are estimated from the bytes of the text. */
  readonly estimated: boolean;
}

export const NO_BLOCKS: PromptBlocks = {
  count: 0,
  hashes: new Uint32Array(0),
  tokensPerBlock: 16,
  totalTokens: 0,
  estimated: false,
};

/** The same blocks of text, where it is known how many tokens the prompt has. */
export function inTokens(blocks: PromptBlocks, totalTokens: number): PromptBlocks {
  if (blocks.totalTokens === 0) return { ...blocks, totalTokens };
  const tokensPerBlock = blocks.tokensPerBlock * (totalTokens / blocks.totalTokens);
  return { ...blocks, tokensPerBlock, totalTokens };
}
