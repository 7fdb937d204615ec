import { fmix32 } from '../base/hash.ts';
import type { PromptBlocks } from './blocks.ts';

/**
 * The blocks of a trace that names them by id (e.g. Mooncake's `hash_ids`, 512 tokens each). A last, partly filled
 * block is left out, as engines cache full blocks only.
 */
export function blocksFromHashIds(
  ids: readonly number[],
  tokensPerBlock: number,
  totalTokens: number,
): PromptBlocks {
  const count = Math.min(ids.length, Math.floor(totalTokens / tokensPerBlock));
  const hashes = new Uint32Array(2 * count);
  let a = 0x2f0b4f35;
  let b = 0x6c8e9cf5;
  for (let i = 0; i < count; i++) {
    const id = ids[i]!;
    const low = scramble(id);
    const high = scramble(Math.floor(id / 2 ** 32));
    a = stepA(stepA(a, low), high);
    b = stepB(stepB(b, low), high);
    hashes[2 * i] = fmix32(a);
    hashes[2 * i + 1] = fmix32(b);
  }
  return { count, hashes, tokensPerBlock, totalTokens, estimated: false };
}

function scramble(word: number): number {
  return turn15(Math.imul(word, 0xcc9e2d51));
}

function stepA(lane: number, k: number): number {
  return Math.imul(turn13(lane ^ k), 0x9e3779b1);
}

function stepB(lane: number, k: number): number {
  const mixed = Math.imul(lane + k, 0x85ebca77);
  return mixed ^ (mixed >>> 15);
}

function turn13(word: number): number {
  return (word << 13) | (word >>> 19);
}

function turn15(word: number): number {
  return (word << 15) | (word >>> 17);
}
