import { commonBlocksBytes, MOST_ROWS } from './common-blocks.ts';

/**
 * Layout of one entry in 32-bit words. Entries are numbered from 1; 0 means none. Loops take these names into constants of their
 * own file: the compiler knows the value of those, and would read imported ones each time.
 */
export const ENTRY = {
  WORDS: 9,
  LOW: 0,
  /**
   * The other half of the hash, xor the row times `SEAL`. Who reads an entry while it becomes another one may see the hash of the
   * one beside the row of the other: that fits no block, since the half was sealed with another row.
   */
  HIGH: 1,
  SEAL: 0x9e3779b1,
  ROW: 2,
  /** Next entry of the same bucket; of a free entry, the next free one. */
  CHAIN: 3,
  /** Neighbours by last use, over all workers: towards the newer, towards the older. */
  NEWER: 4,
  OLDER: 5,
  /** The same among one worker's entries. */
  ROW_NEWER: 6,
  ROW_OLDER: 7,
  /** When it was used last, as `usedAt` has it. */
  USED_AT: 8,
} as const;

/** A time of the clock, ms, as entries have it: in eighths of a second, which fit into a word for eight years. */
export function usedAt(ms: number): number {
  return Math.floor(ms / 125);
}

export const ENTRY_BYTES = 4 * ENTRY.WORDS;
export const MAX_ENTRIES = Math.floor((2 ** 31 - 1) / ENTRY.WORDS) - 1;
/** One place for a common block in so many bytes of the index. */
const BYTES_PER_COMMON = 2 ** 12;

/** Layout of the head. */
export const HEAD = {
  /** Another one whenever a worker gets a row or loses it. */
  VERSION: 0,
  /** Rows are numbered below this. */
  ROWS_END: 1,
} as const;
const HEAD_WORDS = 2;

/** Slots, and rows of workers, that a table has room for: of a worker beyond them it knows nothing. */
export const MOST_SLOTS = MOST_ROWS;

/** The memory of one table: only numbers, so that threads can look at it while one of them writes. */
export interface TableMemory {
  readonly head: ArrayBufferLike;
  /** By slot: the row of the worker there, 0 for none. */
  readonly rowOfSlot: ArrayBufferLike;
  readonly buckets: ArrayBufferLike;
  readonly entries: ArrayBufferLike;
  readonly commonPlaces: ArrayBufferLike;
  readonly commonBits: ArrayBufferLike;
}

/** Memory for a table of at most so many bytes; pages of it become resident as they are first used. */
export function allocateTable(
  maxBytes: number,
  allocate: (bytes: number) => ArrayBufferLike = (bytes) => new ArrayBuffer(bytes),
): TableMemory {
  const buckets = 2 ** Math.round(Math.log2(Math.min(maxBytes / (ENTRY_BYTES + 4), MAX_ENTRIES)));
  const entries = Math.min(MAX_ENTRIES, Math.floor((maxBytes - 4 * buckets) / ENTRY_BYTES) - 1);
  const common = commonBlocksBytes(2 ** Math.max(2, Math.floor(Math.log2(maxBytes / BYTES_PER_COMMON))));
  return {
    head: allocate(4 * HEAD_WORDS),
    rowOfSlot: allocate(4 * MOST_SLOTS),
    buckets: allocate(4 * buckets),
    entries: allocate(ENTRY_BYTES * (entries + 1)),
    commonPlaces: allocate(common.places),
    commonBits: allocate(common.bits),
  };
}
