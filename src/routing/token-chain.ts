import { fmix32 } from '../base/hash.ts';
import type { PromptBlocks } from './blocks.ts';

/** What an engine keys its prefix cache on beside the tokens. Chains of two scopes share no block. */
export interface ChainScope {
  /** Tokens of a block; at least 1. */
  readonly blockSize: number;
  /** Name of the adapter, '' for the model itself. The served model's name is not part of it: aliases share one cache. */
  readonly adapter: string;
  /** vLLM's `cache_salt`; '' for none. */
  readonly salt: string;
}

/** The hash of a block with all before it: low and high half. */
export interface ChainLink {
  readonly low: number;
  readonly high: number;
}

/** No token id, so that what is no token never passes for one. */
const NO_TOKEN = 0xffffffff;

/**
 * The blocks of a prompt that is known as token ids. A last, partly filled block is left out, as engines cache full blocks only.
 * What engines' events name is chained in the same way, so a block has one hash wherever it was seen. The hash is the same on
 * every machine, and not meant to withstand chosen collisions: one would only mislead what is known of a cache.
 */
export function tokenChain(ids: Uint32Array, scope: ChainScope): PromptBlocks {
  const { blockSize } = scope;
  const count = Math.floor(ids.length / blockSize);
  const hashes = new Uint32Array(2 * count);
  chainBlocks(hashes, chainRoot(scope), ids, blockSize, { first: 0, end: count });
  return { count, hashes, tokensPerBlock: blockSize, totalTokens: ids.length, estimated: false };
}

/** What the first block of a chain is chained to. */
export function chainRoot({ blockSize, adapter, salt }: ChainScope): ChainLink {
  const words = [NO_TOKEN, blockSize, adapter.length, ...unitsOf(adapter), ...unitsOf(salt)];
  return linkOf({ low: 0x2f0b4f35, high: 0x6c8e9cf5 }, Uint32Array.from(words));
}

/** Which of the blocks that tokens are cut into. */
export interface BlockRange {
  readonly first: number;
  readonly end: number;
  /** By block: what an engine keys it on beside tokens, adapter and salt, such as the images in it; '' for nothing. */
  readonly extras?: readonly string[] | undefined;
}

/**
 * Hashes blocks, one behind the other.
 *
 * @param hashes Gets low and high half of each, those of block `first` first.
 * @param parent Of block `first`.
 */
export function chainBlocks(
  hashes: Uint32Array,
  parent: ChainLink,
  ids: Uint32Array,
  blockSize: number,
  { first, end, extras }: BlockRange,
): void {
  let { low, high } = parent;
  for (let block = first, at = 0; block < end; block++, at += 2) {
    if (extras !== undefined && (extras[block] ?? '') !== '')
      ({ low, high } = linkOf({ low, high }, Uint32Array.from([NO_TOKEN, ...unitsOf(extras[block]!)])));
    hashWords(hashes, at, low, high, ids, blockSize * block, blockSize * (block + 1));
    low = hashes[at]! | 0;
    high = hashes[at + 1]! | 0;
  }
}

function linkOf({ low, high }: ChainLink, words: Uint32Array): ChainLink {
  const link = new Uint32Array(2);
  hashWords(link, 0, low, high, words, 0, words.length);
  return { low: link[0]!, high: link[1]! };
}

/** A text's UTF-16 units: what engines are told and tell is compared, never decoded. */
function unitsOf(text: string): number[] {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}

/**
 * Compresses words in two pairs of 32-bit lanes, every word into one pair, folds the pairs, and mixes the parent's hash in last, so that
 * a processor works on some blocks at once. The result is all that the next block is chained to.
 */
function hashWords(
  into: Uint32Array,
  at: number,
  low: number,
  high: number,
  words: Uint32Array,
  from: number,
  to: number,
): void {
  let a = 0x517cc1b7;
  let b = 0x27220a95;
  let c = 0x2545f491;
  let d = 0x632be5ab;
  let next = from;
  for (; next + 4 <= to; next += 4) {
    a = Math.imul(a ^ words[next]!, 0xcc9e2d51);
    b = Math.imul(b ^ words[next + 1]!, 0x1b873593);
    c = Math.imul(c ^ words[next + 2]!, 0x9e3779b1);
    d = Math.imul(d ^ words[next + 3]!, 0x85ebca77);
    // Either lane of a pair takes the other's in, so that the two are one state of 64 bits.
    a = (turn15(a) + b) | 0;
    b ^= turn13(a);
    c = (turn15(c) + d) | 0;
    d ^= turn13(c);
  }
  for (; next < to; next++) {
    a = Math.imul(a ^ words[next]!, 0xcc9e2d51);
    b = turn13(b ^ a);
    a = (turn15(a) + b) | 0;
  }
  c = Math.imul(c ^ (c >>> 15), 0x2c1b3c6d);
  d = Math.imul(d ^ (d >>> 13), 0x297a2d39);
  a = fmix32(a ^ turn15(c)) ^ d ^ low;
  b = fmix32((b + d) ^ turn13(c)) ^ high;
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
  b = Math.imul(b ^ (b >>> 15), 0xc2b2ae35);
  a = (a + turn13(b)) | 0;
  b ^= turn15(a);
  a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d);
  b = Math.imul(b ^ (b >>> 13), 0x297a2d39);
  a = (a + turn15(b)) | 0;
  b ^= turn13(a);
  into[at] = a ^ (a >>> 16);
  into[at + 1] = b ^ (b >>> 16);
}

function turn13(word: number): number {
  return (word << 13) | (word >>> 19);
}

function turn15(word: number): number {
  return (word << 15) | (word >>> 17);
}
