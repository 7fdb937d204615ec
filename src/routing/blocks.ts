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
  /** Where tokens are counted otherwise than by blocks. */
  readonly beginning?: Beginning;
}

/** Tokens that the beginning of a prompt is known to have, however many are estimated of the rest. */
export interface Beginning {
  /** Where it ends, in blocks: mostly somewhere within one. */
  readonly at: number;
  readonly tokens: number;
  /** Tokens of each block behind it. */
  readonly perBlock: number;
  /** Who answered it, in so many tokens. */
  readonly answer?: { readonly slot: number; readonly tokens: number };
  /** Whether a prompt that goes on from there is expected to find the answer in the cache as well. */
  readonly expectsAnswer?: boolean;
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
  const { beginning } = blocks;
  if (!beginning) return { ...blocks, tokensPerBlock, totalTokens };
  const rest = blocks.totalTokens - beginning.tokens;
  const scale = rest > 0 ? Math.max(0, totalTokens - beginning.tokens) / rest : 0;
  return {
    ...blocks,
    ...{ tokensPerBlock, totalTokens },
    beginning: { ...beginning, perBlock: scale * beginning.perBlock },
  };
}

/** How many tokens the first blocks have; `held` of them are to be found in some cache, and the next one is not. */
export function tokensIn(
  { count, totalTokens, tokensPerBlock, estimated, beginning }: PromptBlocks,
  held: number,
): number {
  if (held === 0 || tokensPerBlock <= 0) return 0;
  if (beginning === undefined) {
    // What is shared ends anywhere in the block behind it.
    const shared = estimated && held < count ? held + 0.5 : held;
    return Math.min(totalTokens, Math.floor(shared * tokensPerBlock));
  }
  const { at, tokens, perBlock } = beginning;
  if (held === Math.floor(at)) return tokens;
  if (held < at) return Math.floor((held / at) * tokens);
  return Math.min(totalTokens, Math.floor(tokens + (held - at) * perBlock));
}

/**
 * What vLLM finds of so many tokens in a cache that has them: whole blocks, and never all of a prompt, whose last token is computed in
 * any case.
 */
export function wholeBlocks(tokens: number, totalTokens: number, blockSize: number): number {
  return Math.max(0, Math.floor(Math.min(tokens, totalTokens - 1) / blockSize) * blockSize);
}
