import { fmix32 } from '../base/hash.ts';
import type { PromptBlocks } from './blocks.ts';

/** Text units (UTF-16) per block: about 16 tokens, vLLM's default block. */
export const UNITS_PER_BLOCK = 64;
/** Token ids per block: vLLM's default `block_size`. */
export const TOKENS_PER_BLOCK = 16;
/** Nothing behind this many text units is hashed; lengths are still counted. */
export const MAX_HASHED_UNITS = 256 * 1024;

const UNITS_PER_TOKEN_ID = UNITS_PER_BLOCK / TOKENS_PER_BLOCK;
/** Chat templates spend about five tokens on a message's frame; the two marks and the role's name come to that. */
const UNITS_PER_MARK = 8;

/** Room for hashes at first: those of a prompt of 2,560 characters. */
const FIRST_WORDS = 2 * 40;
/** Shorter pieces are read a character at a time: to copy one costs as much as some fifty steps. */
const SMALLEST_COPY = 256;
/** Text is copied here, to be read a word at a time: much less of it than the nearest cache holds. */
const COPY = Buffer.alloc(8 * 1024);
const COPIED = new DataView(COPY.buffer, COPY.byteOffset, COPY.length);
const MOST_COPIED_UNITS = COPY.length / 2;

/** Steps of the hash that no text can spell, so that text cannot pass for a message boundary or for token ids. */
const MARK = {
  roleStart: 0x517cc1b7,
  roleEnd: 0x27220a95,
  text: 0x2545f491,
  tokens: 0x632be5ab,
  salt: 0x1b56c4e9,
  /** Before a single text unit that fills a word alone. */
  half: 0x3c6ef372,
};

/**
 * Turns a prompt, fed piece by piece, into the chain of block hashes without putting its text together. Only the
 * sequence of roles, text and token ids counts: how text is cut into calls does not.
 *
 * The hash is two 32-bit lanes, stepped with a word each in MurmurHash3's manner and carried from block to block. It is
 * stable across machines and versions of one record format, and not meant to withstand chosen collisions: one would
 * only mislead the estimate of what is cached.
 */
export class PromptHasher {
  #a = 0x2f0b4f35;
  #b = 0x6c8e9cf5;
  /** Units in the block being filled; odd exactly while a half word waits. */
  #fill = 0;
  /** A text unit waiting for its partner, or -1. */
  #half = -1;
  #inTokens = false;
  #hashed = 0;
  #units = 0;
  #tokenIds = 0;
  /** Two words for each of the `#count` full blocks, and room for more. */
  #hashes = new Uint32Array(FIRST_WORDS);
  #count = 0;

  /**
   * @param salt Whatever else the engines key their prefix caches on: the model (adapters of one worker do not share
   *   blocks) and the request's `cache_salt`. Prompts under different salts share no block.
   */
  constructor(salt = '') {
    if (salt === '') return;
    this.text(salt);
    this.#mark(MARK.salt);
    this.#fill = 0;
    this.#hashed = 0;
    this.#units = 0;
    this.#count = 0;
  }

  /** Length so far in text units, message frames included, token ids not: what `TokenRatio.learn` wants. */
  get units(): number {
    return this.#units;
  }

  /** Starts a message. The name may be empty, e.g. between the prompts of a batch. */
  role(name: string): void {
    this.#frame(MARK.roleStart);
    this.text(name);
    this.#frame(MARK.roleEnd);
  }

  text(value: string): void {
    this.#units += value.length;
    const end = Math.min(value.length, MAX_HASHED_UNITS - this.#hashed);
    if (end <= 0) return;
    this.#hashed += end;
    if (this.#inTokens) {
      this.#mark(MARK.text);
      this.#inTokens = false;
    }
    let at = 0;
    if (this.#half >= 0) {
      const word = this.#half | (value.charCodeAt(at++) << 16);
      this.#half = -1;
      this.#absorb(word);
      this.#advance(1);
    }
    while (end - at >= SMALLEST_COPY) {
      const words = Math.min(end - at, MOST_COPIED_UNITS) >> 1;
      // This encoding keeps half surrogates, too.
      COPY.write(value.slice(at, at + 2 * words), 'utf16le');
      this.#absorbWords(words);
      at += 2 * words;
    }
    while (at + 1 < end) {
      const pairs = Math.min(end - at, UNITS_PER_BLOCK - this.#fill) >> 1;
      this.#absorbPairs(value, at, pairs);
      at += 2 * pairs;
      this.#advance(2 * pairs);
    }
    if (at < end) {
      this.#half = value.charCodeAt(at);
      this.#fill++;
    }
  }

  tokens(ids: readonly number[]): void {
    this.#tokenIds += ids.length;
    const room = Math.floor((MAX_HASHED_UNITS - this.#hashed) / UNITS_PER_TOKEN_ID);
    const end = Math.min(ids.length, room);
    if (end <= 0) return;
    this.#hashed += end * UNITS_PER_TOKEN_ID;
    if (!this.#inTokens) {
      this.#mark(MARK.tokens);
      this.#inTokens = true;
    }
    for (let i = 0; i < end; i++) {
      this.#absorb(ids[i]!);
      this.#advance(UNITS_PER_TOKEN_ID);
    }
  }

  /** 16 hex digits over the whole prompt (up to the hashing limit), the part behind the last full block included. */
  fingerprint(): string {
    const tail = (this.#half + 1) ^ Math.imul(this.#units + UNITS_PER_TOKEN_ID * this.#tokenIds, 0x9e3779b1);
    const a = fmix32(this.#a ^ fmix32(tail));
    const b = fmix32((this.#b + Math.imul(tail, 0x85ebca77)) ^ Math.imul(a, 0xc2b2ae3d));
    return hex32(b) + hex32(a);
  }

  /** @param charsPerToken Text units per token, from `TokenRatio`. */
  finish({ charsPerToken }: { readonly charsPerToken: number }): PromptBlocks {
    const estimated = this.#units > 0;
    return {
      count: this.#count,
      hashes: new Uint32Array(this.#hashes.buffer, 0, 2 * this.#count),
      tokensPerBlock: estimated ? UNITS_PER_BLOCK / charsPerToken : TOKENS_PER_BLOCK,
      totalTokens: this.#tokenIds + Math.ceil(this.#units / charsPerToken),
      estimated,
    };
  }

  #frame(mark: number): void {
    this.#units += UNITS_PER_MARK;
    if (this.#hashed + UNITS_PER_MARK > MAX_HASHED_UNITS) {
      this.#hashed = MAX_HASHED_UNITS;
      return;
    }
    this.#hashed += UNITS_PER_MARK;
    this.#mark(mark);
    this.#advance(UNITS_PER_MARK);
  }

  #mark(mark: number): void {
    if (this.#half >= 0) {
      const half = this.#half;
      this.#half = -1;
      this.#stir(MARK.half);
      this.#absorb(half);
      this.#advance(1);
    }
    this.#stir(mark);
  }

  #stir(mark: number): void {
    this.#a = fmix32(this.#a ^ mark);
    this.#b = fmix32(this.#b + mark);
  }

  #advance(units: number): void {
    this.#fill += units;
    if (this.#fill < UNITS_PER_BLOCK) return;
    this.#fill -= UNITS_PER_BLOCK;
    this.#closeBlock();
  }

  #closeBlock(): void {
    // The lanes cross here, so that a chance collision of one of them does not live on.
    this.#b = (this.#b + Math.imul(this.#a, 0x9e3779b1)) | 0;
    this.#a = (this.#a ^ ((this.#b << 7) | (this.#b >>> 25))) | 0;
    const at = 2 * this.#count++;
    if (at === this.#hashes.length) {
      const grown = new Uint32Array(2 * at);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[at] = fmix32(this.#a);
    this.#hashes[at + 1] = fmix32(this.#b);
  }

  #absorb(word: number): void {
    const k = scramble(word);
    this.#a = stepA(this.#a, k);
    this.#b = stepB(this.#b, k);
  }

  /** What was copied, block by block. */
  #absorbWords(count: number): void {
    let a = this.#a;
    let b = this.#b;
    for (let at = 0; at < count;) {
      const end = Math.min(count, at + ((UNITS_PER_BLOCK - this.#fill) >> 1));
      const units = 2 * (end - at);
      for (; at < end; at++) {
        const k = scramble(COPIED.getInt32(4 * at, true));
        a = stepA(a, k);
        b = stepB(b, k);
      }
      this.#a = a;
      this.#b = b;
      this.#advance(units);
      a = this.#a;
      b = this.#b;
    }
  }

  #absorbPairs(value: string, from: number, pairs: number): void {
    let a = this.#a;
    let b = this.#b;
    const end = from + 2 * pairs;
    for (let at = from; at < end; at += 2) {
      const k = scramble(value.charCodeAt(at) | (value.charCodeAt(at + 1) << 16));
      a = stepA(a, k);
      b = stepB(b, k);
    }
    this.#a = a;
    this.#b = b;
  }
}

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

/** Text units that estimated blocks were made from; 0 for prompts that came as token ids. */
export function unitsOf(blocks: PromptBlocks): number {
  return blocks.estimated ? (blocks.totalTokens / blocks.tokensPerBlock) * UNITS_PER_BLOCK : 0;
}

function scramble(word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  return (k << 15) | (k >>> 17);
}

function stepA(lane: number, k: number): number {
  const mixed = lane ^ k;
  return Math.imul((mixed << 13) | (mixed >>> 19), 0x9e3779b1);
}

function stepB(lane: number, k: number): number {
  const mixed = Math.imul(lane + k, 0x85ebca77);
  return mixed ^ (mixed >>> 15);
}

function hex32(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
