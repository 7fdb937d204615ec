import type { ChainLink, ChainScope } from '../../routing/token-chain.ts';
import {
  MOST_ROWS,
  MOST_SLOTS,
  ROW,
  SLOT,
  stateWord,
  type Coverage,
  type EventsState,
  type ExactMemory,
} from './exact-memory.ts';

/** The stay of one rank of a worker in a slot: what it holds is in entries of its number. */
export interface ExactRow {
  readonly slot: number;
  readonly rank: number;
  /** Another one after each time that it was emptied; 0 once it is closed. */
  number: number;
  entries: number;
  /** Tokens, as its first blocks had it; 0 before. */
  blockSize: number;
  /** The latest scope that a prompt began in, and where its chains begin. */
  scope: ChainScope | undefined;
  root: ChainLink;
}

const NO_ROOT: ChainLink = { low: 0, high: 0 };

/** Which rows there are, and which slot has which, as readers see it. */
export class RowTable {
  readonly #slots: Int32Array;
  readonly #words: Int32Array;
  /** By number; undefined for numbers that nobody has, or whose row is gone. */
  readonly #rows: (ExactRow | undefined)[] = [undefined];
  /** By number: entries of a row that is gone, still to be taken back. */
  readonly #gone = new Int32Array(MOST_ROWS);
  #goneEntries = 0;
  readonly #freeNumbers: number[] = [];
  #open = 0;

  constructor(memory: ExactMemory) {
    this.#slots = new Int32Array(memory.slots);
    this.#words = new Int32Array(memory.rows);
  }

  /** Rows that are open. */
  get open(): number {
    return this.#open;
  }

  /** Entries of rows that are gone. */
  get goneEntries(): number {
    return this.#goneEntries;
  }

  /** The row with this number; undefined where it is gone. */
  at(number: number): ExactRow | undefined {
    return this.#rows[number];
  }

  /** Whether there is a number for another row. */
  get hasNumber(): boolean {
    return this.#freeNumbers.length > 0 || this.#rows.length < MOST_ROWS;
  }

  /** Undefined: there is no room for the slot. */
  add(slot: number, rank: number): ExactRow | undefined {
    if (slot >= MOST_SLOTS || !this.hasNumber) return undefined;
    const row: ExactRow = {
      ...{ slot, rank, number: this.#newNumber(), entries: 0 },
      ...{ blockSize: 0, scope: undefined, root: NO_ROOT },
    };
    this.#rows[row.number] = row;
    this.#open++;
    this.#link(row);
    return row;
  }

  /** What the row holds is gone at once. There must be a number for it. */
  empty(row: ExactRow): void {
    this.#unlink(row);
    this.#give(row);
    row.number = this.#newNumber();
    row.entries = 0;
    this.#rows[row.number] = row;
    this.#link(row);
  }

  remove(row: ExactRow): void {
    this.#unlink(row);
    this.#give(row);
    row.number = 0;
    row.entries = 0;
    this.#open--;
    if (this.#slots[SLOT.WORDS * row.slot + SLOT.ROWS] === 0)
      this.#slots[SLOT.WORDS * row.slot + SLOT.BLOCK_SIZE] = 0;
  }

  /** An entry of a row that is gone was taken back. */
  tookBack(number: number): void {
    this.#goneEntries--;
    if (--this.#gone[number]! === 0) this.#freeNumbers.push(number);
  }

  addHoles(row: ExactRow, count: number): void {
    this.#words[ROW.WORDS * row.number + ROW.HOLES]! += count;
  }

  addAway(row: ExactRow, count: number): void {
    this.#words[ROW.WORDS * row.number + ROW.AWAY]! += count;
  }

  learnBlockSize(row: ExactRow, blockSize: number): void {
    row.blockSize = blockSize;
    this.#slots[SLOT.WORDS * row.slot + SLOT.BLOCK_SIZE] = blockSize;
  }

  setState(slot: number, generation: number, state: EventsState, coverage: Coverage): void {
    if (slot >= MOST_SLOTS) return;
    Atomics.store(this.#slots, SLOT.WORDS * slot + SLOT.STATE, stateWord(generation, state, coverage));
  }

  #newNumber(): number {
    const number = this.#freeNumbers.pop() ?? this.#rows.length;
    const at = ROW.WORDS * number;
    this.#words.fill(0, at, at + ROW.WORDS);
    return number;
  }

  /** Its number is another's when its entries have been taken back. */
  #give({ number, entries }: ExactRow): void {
    this.#rows[number] = undefined;
    this.#gone[number] = entries;
    this.#goneEntries += entries;
    if (entries === 0) this.#freeNumbers.push(number);
  }

  #link({ slot, number }: ExactRow): void {
    const at = SLOT.WORDS * slot;
    this.#nextVersion(slot);
    this.#words[ROW.WORDS * number + ROW.NEXT] = this.#slots[at + SLOT.ROW]!;
    this.#slots[at + SLOT.ROW] = number;
    this.#slots[at + SLOT.ROWS]!++;
    this.#nextVersion(slot);
  }

  #unlink({ slot, number }: ExactRow): void {
    const at = SLOT.WORDS * slot;
    this.#nextVersion(slot);
    const next = this.#words[ROW.WORDS * number + ROW.NEXT]!;
    let before = this.#slots[at + SLOT.ROW]!;
    if (before === number) this.#slots[at + SLOT.ROW] = next;
    else {
      while (this.#words[ROW.WORDS * before + ROW.NEXT] !== number)
        before = this.#words[ROW.WORDS * before + ROW.NEXT]!;
      this.#words[ROW.WORDS * before + ROW.NEXT] = next;
    }
    this.#slots[at + SLOT.ROWS]!--;
    this.#nextVersion(slot);
  }

  /** Called before and after a change. */
  #nextVersion(slot: number): void {
    Atomics.add(this.#slots, SLOT.WORDS * slot + SLOT.VERSION, 1);
  }
}
