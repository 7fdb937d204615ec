import type { PromptBlocks } from '../routing/blocks.ts';

/** Layout of the head in 32-bit words: up to where has been written and read, in words since ever, modulo 2^32. */
const WRITTEN = 0;
const READ = 1;
/** 1: whoever reads has been told that there is something, and has not come to the end. */
const AWAKE = 2;
/** Records for which there was no room; counts on. */
const DROPPED = 3;
const HEAD_WORDS = 16;

/** Before the hashes of a record: their number (of blocks), the slot, the worker's generation, and two words more. */
const RECORD_HEAD = 5;
/** In the place of tokens: what was found of the worker's cache. */
const FORGOT = -1;
const KEPT = -2;

/** What was found of a worker's cache: it forgot what was used at that time, so many blocks ago; or it kept more than was thought. */
export type CacheFinding =
  { readonly kind: 'forgot'; readonly usedAt: number; readonly blocks: number } | { readonly kind: 'kept' };

/** What one thread notes for another to read: a prompt's blocks, and the worker that they went to. */
export interface RoutedBlocks extends Pick<PromptBlocks, 'hashes' | 'count'> {
  readonly slot: number;
  readonly generation: number;
  /** Tokens that the blocks stand for; 0 for a second chain of the same prompt. */
  readonly tokens: number;
  /** Then there are no blocks. */
  readonly finding: CacheFinding | undefined;
}

/** Bytes of memory for a ring of so many words; a power of two. */
export function ringBytes(words: number): number {
  return 4 * (HEAD_WORDS + words);
}

const NO_HASHES = { hashes: new Uint32Array(0), count: 0 };

/**
 * Records on their way from one request thread, which alone appends, to the thread in control, which alone reads. A record is there
 * once the mark of what is written has passed it: of a thread that ends in the middle of one nothing is left.
 */
export class RecordRing {
  readonly #head: Int32Array;
  readonly #data: Int32Array;
  readonly #mask: number;
  #hashes = new Uint32Array(0);

  constructor(memory: ArrayBufferLike) {
    this.#head = new Int32Array(memory, 0, HEAD_WORDS);
    this.#data = new Int32Array(memory, 4 * HEAD_WORDS);
    this.#mask = this.#data.length - 1;
  }

  /** Records that found no room. */
  get dropped(): number {
    return Atomics.load(this.#head, DROPPED) >>> 0;
  }

  /** @returns whether the reader sleeps and must be woken. */
  append(
    { hashes, count }: Pick<PromptBlocks, 'hashes' | 'count'>,
    {
      slot,
      generation,
      tokens,
    }: { readonly slot: number; readonly generation: number; readonly tokens: number },
  ): boolean {
    return this.#write({ hashes, count }, slot, generation, tokens, 0);
  }

  /** The same. */
  appendFinding(finding: CacheFinding, slot: number, generation: number): boolean {
    if (finding.kind === 'kept') return this.#write(NO_HASHES, slot, generation, KEPT, 0);
    // Its number of blocks stands where hashes do.
    const words = { hashes: Uint32Array.of(finding.blocks, 0), count: 1 };
    return this.#write(words, slot, generation, FORGOT, finding.usedAt);
  }

  #write(
    { hashes, count }: Pick<PromptBlocks, 'hashes' | 'count'>,
    slot: number,
    generation: number,
    tokens: number,
    value: number,
  ): boolean {
    const head = this.#head;
    const from = head[WRITTEN]!;
    const taken = (from - Atomics.load(head, READ)) >>> 0;
    const needed = RECORD_HEAD + 2 * count;
    if (taken + needed > this.#data.length) {
      head[DROPPED]!++;
      return false;
    }
    const data = this.#data;
    const mask = this.#mask;
    data[from & mask] = count;
    data[(from + 1) & mask] = slot;
    data[(from + 2) & mask] = generation;
    data[(from + 3) & mask] = tokens;
    data[(from + 4) & mask] = value;
    const at = from + RECORD_HEAD;
    for (let word = 0; word < 2 * count; word++) data[(at + word) & mask] = hashes[word]!;
    Atomics.store(head, WRITTEN, (from + needed) | 0);
    return Atomics.load(head, AWAKE) === 0 && Atomics.exchange(head, AWAKE, 1) === 0;
  }

  /** The oldest record; its hashes are good until the next call. Undefined where there is none. */
  take(): RoutedBlocks | undefined {
    const head = this.#head;
    const from = head[READ]!;
    const there = (Atomics.load(head, WRITTEN) - from) >>> 0;
    if (there === 0) return undefined;
    const data = this.#data;
    const mask = this.#mask;
    const count = data[from & mask]!;
    const slot = data[(from + 1) & mask]!;
    const generation = data[(from + 2) & mask]!;
    const tokens = data[(from + 3) & mask]!;
    const value = data[(from + 4) & mask]!;
    if (this.#hashes.length < 2 * count) this.#hashes = new Uint32Array(4 * count);
    const hashes = this.#hashes;
    const at = from + RECORD_HEAD;
    for (let word = 0; word < 2 * count; word++) hashes[word] = data[(at + word) & mask]!;
    Atomics.store(head, READ, (from + RECORD_HEAD + 2 * count) | 0);
    if (tokens >= 0) return { hashes, count, slot, generation, tokens, finding: undefined };
    const finding: CacheFinding =
      tokens === KEPT ? { kind: 'kept' } : { kind: 'forgot', usedAt: value, blocks: hashes[0]! };
    return { hashes, count: 0, slot, generation, tokens: 0, finding };
  }

  /** The reader goes to sleep: the next record wakes it. False: there is one already, and it must not. */
  rest(): boolean {
    const head = this.#head;
    Atomics.store(head, AWAKE, 0);
    if (Atomics.load(head, WRITTEN) === head[READ]) return true;
    // Where the other thread has set it meanwhile, its message is on the way; to look twice does no harm.
    Atomics.store(head, AWAKE, 1);
    return false;
  }
}
