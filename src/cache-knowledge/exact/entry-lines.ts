import { fmix32 } from '../../base/hash.ts';

/** Words of a line, which is as long as a line of the processor's cache: looking into one costs one wait for memory. */
export const LINE_WORDS = 16;
/** Places for entries; the first word is the head. */
const PLACES = LINE_WORDS - 1;
/** How many lines an entry may be in: of its hash, and where that one is full, of hashes of that. All of them never are. */
export const MOST_LINES = 8;

/** Parts of a line's head. */
export const LINE_HEAD = {
  /** Places that are taken: the first ones. */
  COUNT: 15,
  /** How many entries that belong here are in another line. */
  ELSEWHERE: 1 << 4,
} as const;

/** How entries are written down in lines: as their number, with a part of their hash above it by which most others are told from it. */
export interface LineShape {
  /** Lines per unit of a hash. */
  readonly linesPerHash: number;
  readonly tagShift: number;
  readonly entryMask: number;
}

export function lineShape(words: Int32Array, capacity: number): LineShape {
  const tagShift = 32 - Math.clz32(capacity);
  return {
    linesPerHash: words.length / LINE_WORDS / 2 ** 32,
    tagShift,
    entryMask: 2 ** tagShift - 1,
  };
}

/** Where the line begins that is looked at as number `turn`, from 0. */
export function lineAt(hash: number, turn: number, linesPerHash: number): number {
  const of = turn === 0 ? hash : fmix32(hash + turn);
  return LINE_WORDS * (((of >>> 0) * linesPerHash) | 0);
}

/** Entries by a hash of 32 bits, as the one thread writes them that may. Who finds an entry looks whether it is the right one. */
export class EntryLines {
  readonly words: Int32Array;
  readonly shape: LineShape;

  constructor(memory: ArrayBufferLike, capacity: number) {
    this.words = new Int32Array(memory);
    this.shape = lineShape(this.words, capacity);
  }

  /** False: there is no place for it. */
  add(hash: number, entry: number): boolean {
    const { words } = this;
    const { linesPerHash, tagShift } = this.shape;
    for (let turn = 0; turn < MOST_LINES; turn++) {
      const line = lineAt(hash, turn, linesPerHash);
      const count = words[line]! & LINE_HEAD.COUNT;
      if (count === PLACES) continue;
      words[line + 1 + count] = (hash << tagShift) | entry;
      words[line]! += 1;
      if (turn > 0) words[lineAt(hash, 0, linesPerHash)]! += LINE_HEAD.ELSEWHERE;
      return true;
    }
    return false;
  }

  remove(hash: number, entry: number): void {
    const { words } = this;
    const { linesPerHash, tagShift } = this.shape;
    const word = (hash << tagShift) | entry;
    for (let turn = 0; turn < MOST_LINES; turn++) {
      const line = lineAt(hash, turn, linesPerHash);
      const last = line + (words[line]! & LINE_HEAD.COUNT);
      for (let at = line + 1; at <= last; at++) {
        if (words[at] !== word) continue;
        // The last one takes its place; who reads meanwhile may see it twice.
        words[at] = words[last]!;
        words[line]! -= 1;
        if (turn > 0) words[lineAt(hash, 0, linesPerHash)]! -= LINE_HEAD.ELSEWHERE;
        return;
      }
    }
  }
}
