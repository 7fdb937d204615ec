import { LINE_WORDS } from './entry-lines.ts';

/**
 * Layout of one entry, a block in the cache of one worker rank, in 32-bit words. Entries are numbered from 1; 0 means none. Loops take
 * these names into constants of their own file: the compiler knows the value of those.
 */
export const ENTRY = {
  WORDS: 6,
  /** Of the hash of the block with all before it. */
  LOW: 0,
  /**
   * The other half, xor the row times `SEAL`. Who reads an entry while it becomes another one may see the hash of the one beside the
   * row of the other: that fits no block, since the half was sealed with another row.
   */
  HIGH: 1,
  SEAL: 0x9e3779b1,
  /** Row, tiers and number of children; 0 in a free entry. */
  META: 2,
  /** What the engine calls the block. */
  NAME_LOW: 3,
  NAME_HIGH: 4,
  /** The entry of the block before it; 0 for the first of a prompt. Of a free entry, the next free one. */
  PARENT: 5,
} as const;

/** Parts of `META`: a row, then where the block is (`tiers.ts`), then how many entries have it as parent. */
export const META = {
  ROW_MASK: 0xfff,
  CHILD_SHIFT: 18,
  /** A count that has come here stays: such an entry goes with its row alone. */
  MOST_CHILDREN: 2 ** 14 - 1,
} as const;

export const HEAD = {
  WORDS: 2,
  /** 1 while whoever writes it is there. */
  ALIVE: 0,
  /** Where blocks and names lie is no matter of what an engine sends alone. */
  SEED: 1,
} as const;

/** By slot. */
export const SLOT = {
  WORDS: 8,
  /** Its first row; 0 where it has none. */
  ROW: 0,
  /** How many rows it has. */
  ROWS: 1,
  /** Tokens of a block, as its events say; 0 while none has come. */
  BLOCK_SIZE: 2,
  /**
   * Written by the index: the state of its events, whether they tell of all that it holds, and of which generation of the slot that is
   * said (`stateWord`).
   */
  STATE: 3,
  /** Written by control: which generation has the slot; 0 for none. */
  GENERATION: 4,
  /** Another one whenever a row of the slot comes, goes or is emptied; odd while it does. */
  VERSION: 5,
} as const;

/** By row. */
export const ROW = {
  WORDS: 4,
  /** The next row of the same slot: another rank. */
  NEXT: 0,
  /** Entries whose block is gone, but not all that follow it. */
  HOLES: 1,
  /** Blocks that are held, but not on the GPU. */
  AWAY: 2,
} as const;

/** What is known of a worker's events, by `state` in `SLOT.STATE`. */
export const STATES = ['none', 'connecting', 'live', 'lost'] as const;
export type EventsState = (typeof STATES)[keyof typeof STATES & number];

/**
 * `whole`: the rows of a slot have all that its engine holds. `partial`: what came before something that was missed, or before one began
 * to listen, is not in them, though the engine may hold it.
 */
export type Coverage = 'whole' | 'partial';
export const WHOLE = 4;

/** What stands in `SLOT.STATE`: `generation << 3 | whole | state`. */
export function stateWord(generation: number, state: EventsState, coverage: Coverage): number {
  return (generation << 3) | (coverage === 'whole' ? WHOLE : 0) | STATES.indexOf(state);
}

export const ENTRY_BYTES = 4 * ENTRY.WORDS;
/** Entries per line of blocks, and of names, on average when all are taken: hardly any line is full then. */
const ENTRIES_PER_LINE = 9;
const LINE_BYTES = 4 * LINE_WORDS;
/** Of one entry with its share of both kinds of lines. */
const ALL_BYTES = ENTRY_BYTES + (2 * LINE_BYTES) / ENTRIES_PER_LINE;
/** Lines keep six bits beside the number of an entry. */
const MOST_ENTRIES = 2 ** 26 - 1;

/** Slots that there is room for, and rows: of a worker beyond them nothing is known. */
export const MOST_SLOTS = 4096;
export const MOST_ROWS = META.ROW_MASK + 1;
/** What rows and slots take whatever the index holds. */
const FIXED_BYTES = 4 * (HEAD.WORDS + SLOT.WORDS * MOST_SLOTS + ROW.WORDS * MOST_ROWS) + 2 * LINE_BYTES;
export const LEAST_BYTES = 2 * FIXED_BYTES;

/** The memory of an exact index: only numbers, so that threads can look at it while one of them writes. */
export interface ExactMemory {
  readonly head: ArrayBufferLike;
  readonly slots: ArrayBufferLike;
  readonly rows: ArrayBufferLike;
  /** Lines of entries by hash of the block... */
  readonly blocks: ArrayBufferLike;
  /** ...and by the engine's name. */
  readonly names: ArrayBufferLike;
  readonly entries: ArrayBufferLike;
}

/**
 * Memory for an index of at most so many bytes, at least `LEAST_BYTES`. Its address space is reserved at once; pages become resident
 * as they are first used.
 *
 * @param seed 32 bits that no engine can know.
 */
export function allocateExact(
  maxBytes: number,
  seed: number,
  allocate: (bytes: number) => ArrayBufferLike = (bytes) => new SharedArrayBuffer(bytes),
): ExactMemory {
  const entries = Math.min(MOST_ENTRIES, Math.floor((maxBytes - FIXED_BYTES) / ALL_BYTES) - 1);
  const lineBytes = LINE_BYTES * Math.ceil(entries / ENTRIES_PER_LINE);
  const head = allocate(4 * HEAD.WORDS);
  new Int32Array(head).set([1, seed | 0]);
  return {
    head,
    slots: allocate(4 * SLOT.WORDS * MOST_SLOTS),
    rows: allocate(4 * ROW.WORDS * MOST_ROWS),
    blocks: allocate(lineBytes),
    names: allocate(lineBytes),
    entries: allocate(ENTRY_BYTES * (entries + 1)),
  };
}

/** For control: whoever wrote it is no more, and nothing in it counts. */
export function endExact({ head }: ExactMemory): void {
  Atomics.store(new Int32Array(head), HEAD.ALIVE, 0);
}
