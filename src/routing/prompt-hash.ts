import { fmix32 } from '../base/hash.ts';
import type { PromptBlocks } from './blocks.ts';
import { ByteKinds, type TextShape } from './text-shape.ts';

/** Bytes of text (UTF-8) per block: about 16 tokens, vLLM's default block. */
export const BYTES_PER_BLOCK = 64;
/** Token ids per block: vLLM's default `block_size`. */
export const TOKENS_PER_BLOCK = 16;
/** Nothing behind this many bytes is hashed; lengths are still counted. */
export const MAX_HASHED_BYTES = 256 * 1024;

const BYTES_PER_TOKEN_ID = BYTES_PER_BLOCK / TOKENS_PER_BLOCK;
const WORDS_PER_BLOCK = BYTES_PER_BLOCK / 4;
/** Chat templates spend about five tokens on a message's frame; the two marks and the role's name come to that. */
const BYTES_PER_MARK = 8;

/** Room for hashes at first: those of a prompt of 2,560 characters. */
const FIRST_WORDS = 2 * 40;
/** Shorter pieces are written a character at a time: to ask for it natively costs as much as some forty steps. */
const SMALLEST_WRITE = 40;
/** Text that is written in one go. */
const PIECE_UNITS = 4 * 1024;
const MOST_BYTES_PER_UNIT = 3;
/** What is gathered before it is hashed. */
const GATHERED_BYTES = 8 * 1024;

/**
 * What was fed and is not hashed yet, of one hasher at a time: text is written here and read a word at a time, while it
 * is in the nearest cache.
 */
const GATHERED = Buffer.alloc(GATHERED_BYTES + MOST_BYTES_PER_UNIT * PIECE_UNITS + BYTES_PER_BLOCK);
const WORDS = new DataView(GATHERED.buffer, GATHERED.byteOffset, GATHERED.length);
const gathering: { by: PromptHasher | undefined } = { by: undefined };

/** So many ends of messages are remembered, the last ones. */
const MOST_ENDS = 16;

/** Bytes that UTF-8 never has, so that no text can pass for a message boundary or for token ids. */
const MARK = {
  roleStart: 0xfbfbfbfb | 0,
  roleEnd: 0xfcfcfcfc | 0,
  text: 0xfdfdfdfd | 0,
  tokens: 0xfefefefe | 0,
};

/**
 * Turns a prompt, fed piece by piece, into the chain of block hashes without putting its text together. Only the
 * sequence of roles, text and token ids counts: how text is cut into calls does not, nor whether it comes as a string or
 * as bytes.
 *
 * A block is compressed in two pairs of 32-bit lanes, every word into one pair, and the result is chained to the blocks
 * before it. The hash is stable across machines and versions of one record format, and not meant to withstand chosen
 * collisions: one would only mislead the estimate of what is cached.
 */
export class PromptHasher {
  #a = 0x2f0b4f35;
  #b = 0x6c8e9cf5;
  /** Bytes that are gathered. While another hasher gathers, they lie before the hashes: fewer than a block. */
  #fill = 0;
  /** The first half of a character that takes two text units, waiting for the other, or -1. */
  #half = -1;
  #inTokens = false;
  #hashed = 0;
  #textBytes = 0;
  #tokenIds = 0;
  #frames = 0;
  /** Of them what is message frames, with the names of roles. */
  #frameBytes = 0;
  readonly #kinds = new ByteKinds();
  /** Where messages ended, in hashed bytes: the last ones, around and around. */
  readonly #ends: number[] = [];
  #ended = 0;
  /** Room for an unfinished block, then two words for each of the `#count` full ones, and more room. */
  #words = new Uint32Array(WORDS_PER_BLOCK + FIRST_WORDS);
  #count = 0;

  /**
   * @param salt Whatever else the engines key their prefix caches on: the model (adapters of one worker do not share
   *   blocks) and the request's `cache_salt`. Prompts under different salts share no block.
   */
  constructor(salt = '') {
    if (salt === '') return;
    this.text(salt);
    this.#gather();
    this.#absorb();
    GATHERED.fill(0, this.#fill, BYTES_PER_BLOCK);
    this.#compress(1);
    this.#fill = 0;
    this.#half = -1;
    this.#hashed = 0;
    this.#textBytes = 0;
    this.#count = 0;
    this.#kinds.clear();
  }

  /** Length so far in bytes of text, message frames included, token ids not: what `TokenRatio.learn` wants. */
  get textBytes(): number {
    return this.#textBytes;
  }

  /** What the text is made of, the part behind the last full block apart. */
  shape(): TextShape {
    this.#rest();
    return this.#kinds.shapeOf(this.#textBytes - 2 * BYTES_PER_MARK * this.#frames, this.#frames);
  }

  /** Where the last messages ended, in bytes of the chain, the last one first; the end of the prompt is the first of them. */
  ends(): number[] {
    const ends = this.#hashed < MAX_HASHED_BYTES ? [this.#hashed] : [];
    for (let back = 1; back <= this.#ends.length; back++)
      ends.push(this.#ends[(this.#ended - back) % MOST_ENDS]!);
    return ends;
  }

  /** Starts a message. The name may be empty, e.g. between the prompts of a batch. */
  role(name: string): void {
    if (this.#hashed > 0 && this.#hashed < MAX_HASHED_BYTES)
      this.#ends[this.#ended++ % MOST_ENDS] = this.#hashed;
    this.#frames += 1;
    const before = this.#textBytes;
    this.#frame(MARK.roleStart);
    this.text(name);
    this.#frame(MARK.roleEnd);
    this.#frameBytes += this.#textBytes - before;
  }

  /** Half characters count as U+FFFD, unless the other half comes with the next call. */
  text(value: string): void {
    if (value === '') return;
    this.#toText();
    let from: number = this.#half < 0 ? 0 : this.#completeHalf(value);
    let end = value.length;
    const last = value.charCodeAt(end - 1);
    if (isFirstHalf(last)) end -= 1;
    while (from < end && this.#hashed < MAX_HASHED_BYTES) {
      let to = Math.min(end, from + PIECE_UNITS);
      if (to < end && isFirstHalf(value.charCodeAt(to - 1))) to -= 1;
      this.#took(write(value, from, to, this.#fill));
      from = to;
    }
    if (from < end) this.#textBytes += Buffer.byteLength(value.slice(from, end));
    if (end < value.length) this.#half = last;
  }

  /** A part of these bytes, which is UTF-8 that is as it should be. */
  utf8(bytes: Uint8Array, start: number, end: number): void {
    if (start >= end) return;
    this.#toText();
    if (this.#half >= 0) this.#completeHalf('');
    let from = start;
    while (from < end && this.#hashed < MAX_HASHED_BYTES) {
      const to = Math.min(end, from + GATHERED.length - this.#fill);
      GATHERED.set(bytes.subarray(from, to), this.#fill);
      this.#took(to - from);
      from = to;
    }
    this.#textBytes += end - from;
  }

  tokens(ids: ArrayLike<number>): void {
    this.#tokenIds += ids.length;
    if (ids.length === 0 || this.#hashed >= MAX_HASHED_BYTES) return;
    this.#gather();
    if (!this.#inTokens) {
      if (this.#half >= 0) this.#completeHalf('');
      this.#mark(MARK.tokens);
      // Ids alone begin with a block, so that theirs end where the engines' do.
      if (this.#textBytes === this.#frameBytes && this.#tokenIds === ids.length) this.#fillBlock();
      this.#inTokens = true;
    }
    const end = Math.min(ids.length, Math.floor((MAX_HASHED_BYTES - this.#hashed) / BYTES_PER_TOKEN_ID));
    this.#hashed += end * BYTES_PER_TOKEN_ID;
    for (let i = 0; i < end; i++) {
      WORDS.setInt32(this.#fill, ids[i]!, true);
      this.#fill += BYTES_PER_TOKEN_ID;
      if (this.#fill >= GATHERED_BYTES) this.#absorb();
    }
  }

  /** 16 hex digits over the whole prompt (up to the hashing limit), the part behind the last full block included. */
  fingerprint(): string {
    this.#rest();
    const tail =
      (this.#half + 1) ^ Math.imul(this.#textBytes + BYTES_PER_TOKEN_ID * this.#tokenIds, 0x9e3779b1);
    let a = this.#a ^ fmix32(tail);
    let b = this.#b + Math.imul(tail, 0x85ebca77);
    for (let at = 0; 4 * at < this.#fill; at++) {
      a = fmix32(a ^ this.#words[at]!);
      b = fmix32(b + Math.imul(a, 0xc2b2ae3d));
    }
    return hex32(fmix32(b ^ a)) + hex32(fmix32(a));
  }

  /** @param charsPerToken Bytes of text per token, from `TokenRatio`. */
  finish({ charsPerToken }: { readonly charsPerToken: number }): PromptBlocks {
    this.#rest();
    const hashes = new Uint32Array(this.#words.buffer, 4 * WORDS_PER_BLOCK, 2 * this.#count);
    const blocks = { count: this.#count, hashes };
    // A frame around token ids is no part of what is computed.
    if (this.#tokenIds > 0 && this.#textBytes === this.#frameBytes)
      return {
        ...blocks,
        tokensPerBlock: TOKENS_PER_BLOCK,
        totalTokens: this.#tokenIds,
        estimated: false,
        beginning: { at: 1, tokens: 0, perBlock: TOKENS_PER_BLOCK },
      };
    const estimated = this.#textBytes > 0;
    return {
      ...blocks,
      tokensPerBlock: estimated ? BYTES_PER_BLOCK / charsPerToken : TOKENS_PER_BLOCK,
      totalTokens: this.#tokenIds + Math.ceil(this.#textBytes / charsPerToken),
      estimated,
    };
  }

  #frame(mark: number): void {
    this.#textBytes += BYTES_PER_MARK;
    if (this.#hashed + BYTES_PER_MARK > MAX_HASHED_BYTES) {
      this.#hashed = MAX_HASHED_BYTES;
      return;
    }
    this.#gather();
    if (this.#half >= 0) this.#completeHalf('');
    this.#mark(mark);
    this.#mark(mark);
  }

  #toText(): void {
    this.#gather();
    if (!this.#inTokens) return;
    this.#mark(MARK.text);
    this.#inTokens = false;
  }

  #fillBlock(): void {
    const bytes = (BYTES_PER_BLOCK - (this.#hashed % BYTES_PER_BLOCK)) % BYTES_PER_BLOCK;
    GATHERED.fill(0, this.#fill, this.#fill + bytes);
    this.#keep(bytes);
  }

  #mark(mark: number): void {
    if (this.#hashed >= MAX_HASHED_BYTES) return;
    WORDS.setInt32(this.#fill, mark, true);
    this.#keep(4);
  }

  /** Takes the other half from the beginning of this text, where it is there. Gives where the rest begins. */
  #completeHalf(value: string): 0 | 1 {
    const second = value.charCodeAt(0);
    const isWhole = second >= 0xdc00 && second < 0xe000;
    const character = isWhole ? String.fromCharCode(this.#half, second) : '\ufffd';
    this.#half = -1;
    this.#took(GATHERED.write(character, this.#fill));
    return isWhole ? 1 : 0;
  }

  /** So many bytes of text were written behind what is gathered. */
  #took(bytes: number): void {
    this.#textBytes += bytes;
    this.#keep(bytes);
  }

  #keep(bytes: number): void {
    const kept = Math.min(bytes, MAX_HASHED_BYTES - this.#hashed);
    this.#hashed += kept;
    this.#fill += kept;
    if (this.#fill >= GATHERED_BYTES) this.#absorb();
  }

  /** From here on what is gathered is of this hasher. */
  #gather(): void {
    const { by } = gathering;
    if (by === this) return;
    if (by) by.#rest();
    gathering.by = this;
    for (let at = 0; 4 * at < this.#fill; at++) WORDS.setInt32(4 * at, this.#words[at]!, true);
  }

  /** Hashes what is gathered, and puts the unfinished block aside. */
  #rest(): void {
    if (gathering.by !== this) return;
    gathering.by = undefined;
    this.#absorb();
    WORDS.setInt32(this.#fill, 0, true);
    for (let at = 0; 4 * at < this.#fill; at++) this.#words[at] = WORDS.getInt32(4 * at, true);
  }

  /** Hashes the full blocks of what is gathered. */
  #absorb(): void {
    const blocks = Math.floor(this.#fill / BYTES_PER_BLOCK);
    if (blocks === 0) return;
    this.#compress(blocks);
    const from = blocks * BYTES_PER_BLOCK;
    GATHERED.copyWithin(0, from, this.#fill);
    this.#fill -= from;
  }

  #compress(blocks: number): void {
    const hashes = this.#roomFor(blocks);
    let next = WORDS_PER_BLOCK + 2 * this.#count;
    let chainA = this.#a;
    let chainB = this.#b;
    const kinds = this.#inTokens ? undefined : this.#kinds;
    for (let block = 0; block < blocks; block++) {
      let a = 0x517cc1b7;
      let b = 0x27220a95;
      let c = 0x2545f491;
      let d = 0x632be5ab;
      const end = (block + 1) * BYTES_PER_BLOCK;
      for (let at = end - BYTES_PER_BLOCK; at < end; at += 16) {
        a = Math.imul(turn15(a ^ Math.imul(WORDS.getInt32(at, true), 0xcc9e2d51)), 0x9e3779b1);
        b = Math.imul(turn13(b ^ Math.imul(WORDS.getInt32(at + 4, true), 0x1b873593)), 0x85ebca77);
        c = Math.imul(turn15(c ^ Math.imul(WORDS.getInt32(at + 8, true), 0xcc9e2d51)), 0xc2b2ae3d);
        d = Math.imul(turn13(d ^ Math.imul(WORDS.getInt32(at + 12, true), 0x1b873593)), 0x27d4eb2f);
        // Either lane of a pair takes the other's in, so that the two are one state of 64 bits.
        a = (a + b) | 0;
        b ^= turn15(a);
        c = (c + d) | 0;
        d ^= turn15(c);
      }
      if (kinds !== undefined) sample(kinds, end - BYTES_PER_BLOCK);
      a ^= a >>> 15;
      b ^= b >>> 13;
      c = Math.imul(c ^ (c >>> 15), 0x2c1b3c6d);
      d = Math.imul(d ^ (d >>> 13), 0x297a2d39);
      chainA = Math.imul(chainA ^ a ^ (c >>> 15) ^ d, 0x9e3779b1);
      chainB = Math.imul((chainB + b) ^ (d >>> 15) ^ c, 0x85ebca77);
      chainA = (turn15(chainA) + chainB) | 0;
      chainB = turn13(chainB) ^ chainA;
      hashes[next++] = fmix32(chainA);
      hashes[next++] = fmix32(chainB);
    }
    this.#a = chainA;
    this.#b = chainB;
    this.#count += blocks;
  }

  #roomFor(blocks: number): Uint32Array {
    const needed = WORDS_PER_BLOCK + 2 * (this.#count + blocks);
    if (needed > this.#words.length) {
      const grown = new Uint32Array(Math.max(needed, 2 * this.#words.length));
      grown.set(this.#words);
      this.#words = grown;
    }
    return this.#words;
  }
}

/** Every fourth word shows well enough what the text is made of; another one in each row, as texts may repeat. */
function sample(kinds: ByteKinds, at: number): void {
  const last = WORDS.getInt32(at + 60, true);
  kinds.words(WORDS.getInt32(at, true), WORDS.getInt32(at + 20, true), WORDS.getInt32(at + 40, true), last);
}

/** Writes a part of this text to what is gathered. Gives its bytes. */
function write(value: string, from: number, to: number, at: number): number {
  if (to - from < SMALLEST_WRITE) {
    let end = at;
    for (let i = from; i < to; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) return end - at + GATHERED.write(value.slice(i, to), end);
      GATHERED[end++] = unit;
    }
    return end - at;
  }
  return GATHERED.write(to - from === value.length ? value : value.slice(from, to), at);
}

/** Whether the other half of a character must follow. */
function isFirstHalf(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

function turn13(word: number): number {
  return (word << 13) | (word >>> 19);
}

function turn15(word: number): number {
  return (word << 15) | (word >>> 17);
}

function hex32(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
