import type { PromptBlocks } from './blocks.ts';

/** One hash of the record stands for this many tokens. */
export const RECORD_BLOCK_TOKENS = 512;
const MOST_HASHES = 512;
const BYTES = 8;

/**
 * The prompt's chain of block hashes for the record: one 64-bit hash per 512 tokens, at most 512 of them, little-endian, in
 * base64. Each stands for everything up to its place, so two prompts share as many as they share of their beginnings.
 * Empty for prompts of fewer tokens.
 */
export function encodeBlockHashes({ hashes, count, tokensPerBlock }: PromptBlocks): string {
  const every = Math.max(1, Math.round(RECORD_BLOCK_TOKENS / tokensPerBlock));
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
export function recordedBlockTokens({ tokensPerBlock }: PromptBlocks): number {
  return (
    Math.round(Math.max(1, Math.round(RECORD_BLOCK_TOKENS / tokensPerBlock)) * tokensPerBlock * 100) / 100
  );
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
