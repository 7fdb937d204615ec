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
const LANE_A = 0x517cc1b7;
const LANE_B = 0x27220a95;
const LANE_C = 0x2545f491;
const LANE_D = 0x632be5ab;

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
    const extra = extras?.[block] ?? '';
    if (extra !== '')
      ({ low, high } = linkOf({ low, high }, Uint32Array.from([NO_TOKEN, ...unitsOf(extra)])));
    hashWords(hashes, at, low, high, ids, blockSize * block, blockSize * (block + 1));
    low = hashes[at]!;
    high = hashes[at + 1]!;
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
 * Compresses words in two pairs of 32-bit lanes, every word into one pair, both begun with the parent's hash, and folds the pairs.
 * The result is all that the next block is chained to.
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
  let a = LANE_A ^ low;
  let b = LANE_B ^ high;
  let c = LANE_C ^ high;
  let d = LANE_D ^ low;
  let next = from;
  for (; next + 4 <= to; next += 4) {
    a = Math.imul(turn15(a ^ Math.imul(words[next]!, 0xcc9e2d51)), 0x9e3779b1);
    b = Math.imul(turn13(b ^ Math.imul(words[next + 1]!, 0x1b873593)), 0x85ebca77);
    c = Math.imul(turn15(c ^ Math.imul(words[next + 2]!, 0xcc9e2d51)), 0xc2b2ae3d);
    d = Math.imul(turn13(d ^ Math.imul(words[next + 3]!, 0x1b873593)), 0x27d4eb2f);
    // Either lane of a pair takes the other's in, so that the two are one state of 64 bits.
    a = (a + b) | 0;
    b ^= turn15(a);
    c = (c + d) | 0;
    d ^= turn15(c);
  }
  for (; next < to; next++) {
    a = Math.imul(turn15(a ^ Math.imul(words[next]!, 0xcc9e2d51)), 0x9e3779b1);
    b = turn13(b ^ a);
    a = (a + b) | 0;
  }
  c = Math.imul(c ^ (c >>> 15), 0x2c1b3c6d);
  d = Math.imul(d ^ (d >>> 13), 0x297a2d39);
  a = fmix32(a ^ turn15(c));
  b = fmix32((b + d) ^ a);
  into[at] = fmix32((a + turn13(b)) ^ d);
  into[at + 1] = fmix32(b + Math.imul(into[at], 0x85ebca77) + c);
}

function turn13(word: number): number {
  return (word << 13) | (word >>> 19);
}

function turn15(word: number): number {
  return (word << 15) | (word >>> 17);
}
