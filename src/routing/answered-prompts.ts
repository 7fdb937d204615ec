import { LRUCache } from 'lru-cache';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { Beginning, PromptBlocks } from './blocks.ts';
import { BYTES_PER_BLOCK } from './prompt-hash.ts';

/** Its name in the memory that threads share. */
const REGION = 'answered-prompts';
/** Prompts that each thread remembers, in 32 bytes each: a power of two. Of two in one place the later one stays. */
const PLACES = 2 ** 14;

/** Layout of a place in 32-bit words. */
const WORDS = 8;
/** Odd while the place is written. */
const STAMP = 0;
const LOW = 1;
const HIGH = 2;
const END = 3;
const TOKENS = 4;
const ANSWER = 5;
const SLOT = 6;

const MOST_MODELS = 1024;
/** Most models' answers come again as they were. */
const UNKNOWN_RETURN = 0.5;
const RETURN_STEP = 0.3;

/** Longer ones are as good as not known. */
const MOST_TOKENS = 2 ** 30;

/** One prompt that a worker has answered, and said how many tokens it had. */
export interface AnsweredPrompt {
  readonly promptTokens: number;
  /** Tokens of the answer; 0 where it is not known. */
  readonly answerTokens: number;
  readonly slot: number;
}

/** A chain of blocks, and where it was cut: where messages ended in it, in bytes, the last end first. */
export interface CutChain {
  readonly blocks: Pick<PromptBlocks, 'hashes'>;
  readonly ends: readonly number[];
}

/** What is kept of a prompt until it has been answered: the hash of its last full block, and its end, bytes. */
export interface PromptKey {
  readonly low: number;
  readonly high: number;
  readonly end: number;
}

/**
 * Prompts that were answered not long ago, by their chains. A conversation comes again with an answer and a question more, and then its
 * beginning need not be estimated. Each thread writes its own part of the memory, and looks into all of them.
 */
export class AnsweredPrompts {
  readonly #parts: readonly Int32Array[];
  readonly #own: Int32Array;
  /** By model: how much of the last answers was found again, from 0 to 1. */
  readonly #returning = new LRUCache<string, number>({ max: MOST_MODELS });

  constructor(memory: ThreadMemory) {
    const bytes = 4 * WORDS * PLACES;
    const region = memory.region(REGION, bytes * memory.rows);
    const parts = Array.from(
      { length: memory.rows },
      (_, row) => new Int32Array(region, bytes * row, WORDS * PLACES),
    );
    this.#parts = parts;
    this.#own = new Int32Array(region, bytes * memory.self, WORDS * PLACES);
  }

  note(key: PromptKey, { promptTokens, answerTokens, slot }: AnsweredPrompt): void {
    if (promptTokens > MOST_TOKENS || answerTokens > MOST_TOKENS) return;
    const part = this.#own;
    const at = placeOf(key);
    // It is odd already where a thread has ended here.
    const stamp = part[at + STAMP]! | 1;
    Atomics.store(part, at + STAMP, stamp);
    part[at + LOW] = key.low;
    part[at + HIGH] = key.high;
    part[at + END] = key.end;
    part[at + TOKENS] = promptTokens;
    part[at + ANSWER] = answerTokens;
    part[at + SLOT] = slot;
    Atomics.store(part, at + STAMP, (stamp + 1) | 0);
  }

  /** The longest beginning of a prompt that was a whole prompt before. */
  beginningOf({ blocks, ends }: CutChain, model: string): Omit<Beginning, 'perBlock'> | undefined {
    for (const end of ends) {
      const key = keyAt(blocks.hashes, end);
      if (!key) continue;
      for (const part of this.#parts) {
        const found = read(part, key);
        if (found) return { ...found, expectsAnswer: this.#isReturning(model) };
      }
    }
    return undefined;
  }

  /**
   * Whether an answer was found in the cache when its conversation went on: it is not where the template leaves some of it
   * out, such as what a model thought, or where its text has become other tokens.
   */
  learnReturn(model: string, isFound: boolean): void {
    const before = this.#returning.get(model) ?? UNKNOWN_RETURN;
    this.#returning.set(model, before + RETURN_STEP * (Number(isFound) - before));
  }

  #isReturning(model: string): boolean {
    return (this.#returning.get(model) ?? UNKNOWN_RETURN) >= 0.5;
  }
}

export function keyOf({ blocks, ends: [end] }: CutChain): PromptKey | undefined {
  return end === undefined ? undefined : keyAt(blocks.hashes, end);
}

/** Prompts of less than a block are not told apart. */
function keyAt(hashes: Uint32Array, end: number): PromptKey | undefined {
  const last = Math.floor(end / BYTES_PER_BLOCK) - 1;
  if (last < 0 || 2 * last + 1 >= hashes.length) return undefined;
  return { low: hashes[2 * last]! | 0, high: hashes[2 * last + 1]! | 0, end };
}

function placeOf({ low }: PromptKey): number {
  return WORDS * (low & (PLACES - 1));
}

function read(part: Int32Array, key: PromptKey): Omit<Beginning, 'expectsAnswer' | 'perBlock'> | undefined {
  const at = placeOf(key);
  const stamp = Atomics.load(part, at + STAMP);
  if ((stamp & 1) !== 0 || part[at + LOW] !== key.low || part[at + HIGH] !== key.high) return undefined;
  if (part[at + END] !== key.end) return undefined;
  const tokens = part[at + TOKENS]!;
  const answer = { slot: part[at + SLOT]!, tokens: part[at + ANSWER]! };
  if (Atomics.load(part, at + STAMP) !== stamp) return undefined;
  return { at: key.end / BYTES_PER_BLOCK, tokens, answer };
}
