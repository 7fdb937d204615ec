import type { PromptBlocks } from './blocks.ts';

/** One hash of the record stands for this many tokens. */
export const RECORD_BLOCK_TOKENS = 512;
/** 2 KiB of text, which is as many tokens of English. */
const TEXT_BLOCKS_PER_HASH = 32;
const MOST_HASHES = 512;
const BYTES = 8;

/**
 * The prompt's chain of block hashes for the record: one 64-bit hash per 512 tokens, at most 512 of them, little-endian, in
 * base64. Each stands for everything up to its place, so two prompts share as many as they share of their beginnings.
 * Empty for prompts of fewer tokens.
 */
export function encodeBlockHashes({ hashes, count, tokensPerBlock, estimated }: PromptBlocks): string {
  const every = blocksPerHash({ tokensPerBlock, estimated });
  const kept = Math.min(MOST_HASHES, Math.floor(count / every));
  const bytes = Buffer.allocUnsafe(BYTES * kept);
  for (let index = 0; index < kept; index += 1) {
    const block = (index + 1) * every - 1;
    bytes.writeUInt32LE(hashes[2 * block] ?? 0, BYTES * index);
    bytes.writeUInt32LE(hashes[2 * block + 1] ?? 0, BYTES * index + 4);
  }
  return bytes.toString('base64');
}

/** Tokens that one recorded hash of this prompt stands for: about 512, as block sizes allow. */
export function recordedBlockTokens({ tokensPerBlock, estimated }: PromptBlocks): number {
  return Math.round(blocksPerHash({ tokensPerBlock, estimated }) * tokensPerBlock * 100) / 100;
}

/** Of text always the same number, so that prompts share their hashes whatever is learnt of their tokens meanwhile. */
function blocksPerHash({
  tokensPerBlock,
  estimated,
}: Pick<PromptBlocks, 'tokensPerBlock' | 'estimated'>): number {
  return estimated ? TEXT_BLOCKS_PER_HASH : Math.max(1, Math.round(RECORD_BLOCK_TOKENS / tokensPerBlock));
}

/** The way back: two words per block, low first. Undefined for what `encodeBlockHashes` cannot have made. */
export function decodeBlockHashes(text: string): Uint32Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length % BYTES !== 0 || bytes.length > BYTES * MOST_HASHES) return undefined;
  if (bytes.toString('base64') !== text) return undefined;
  const words = new Uint32Array(bytes.length / 4);
  for (let index = 0; index < words.length; index += 1) words[index] = bytes.readUInt32LE(4 * index);
  return words;
}
