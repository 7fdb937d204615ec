const WAYS = 4;
/** Layout of the head: how many places are taken, and how many words of bits have ever been needed. */
const TAKEN = 0;
const WIDTH = 1;
const HEAD_WORDS = 4;
/** Layout of one place in 32-bit words; a place of no rows is free. */
const WORDS = 3;
const LOW = 0;
const HIGH = 1;
const ROWS = 2;

/** Rows are numbered below this. */
export const MOST_ROWS = 4096;
const MOST_WIDTH = MOST_ROWS / 32;

/** Bytes of memory, for so many places; a power of two, at least 4. What has never been used of it is not resident. */
export function commonBlocksBytes(places: number): { readonly places: number; readonly bits: number } {
  return { places: 4 * (HEAD_WORDS + (WORDS + 1) * places), bits: 4 * MOST_WIDTH * places };
}

/**
 * The blocks that many workers hold, such as those of a system prompt, and for each of them the set of its rows, a bit per row:
 * who holds such a block is then read in a few words instead of being looked up worker by worker.
 *
 * A block has four places that it may be in, so that nothing ever moves. Where all are taken it is not common, whatever the
 * number of its holders. The bits of all places for the first 32 rows lie together, then those for the next 32, for the next
 * 64, 128 and so on: more rows need more memory, and nothing has to move for them either.
 *
 * One thread writes. Others that look at the same memory see any single number as it was or as it is; only `mark` reads several
 * that must belong together.
 */
export class CommonBlocks {
  readonly #count: number;
  readonly #setMask: number;
  readonly #head: Int32Array;
  readonly #places: Int32Array;
  /** By place: odd while the place is being changed, and another number afterwards. */
  readonly #stamps: Int32Array;
  readonly #bits: Int32Array;
  /** Whether other threads look at it. `Atomics` are calls, which a router with one thread need not pay for. */
  readonly #isShared: boolean;
  /** How many places are taken. Who only reads sees it in the head. */
  #taken = 0;
  /** The bits of one place. */
  readonly #seen = new Int32Array(MOST_WIDTH);

  constructor({ places, bits }: { readonly places: ArrayBufferLike; readonly bits: ArrayBufferLike }) {
    const count = (places.byteLength / 4 - HEAD_WORDS) / (WORDS + 1);
    this.#count = count;
    this.#setMask = count / WAYS - 1;
    this.#places = new Int32Array(places, 0, WORDS * count);
    this.#stamps = new Int32Array(places, 4 * WORDS * count, count);
    this.#head = new Int32Array(places, 4 * (WORDS + 1) * count);
    this.#bits = new Int32Array(bits);
    this.#isShared = bits instanceof SharedArrayBuffer;
  }

  /** The place of a block; -1 if it is not common. */
  find(low: number, high: number): number {
    if (this.#taken === 0 && (!this.#isShared || this.#head[TAKEN] === 0)) return -1;
    const first = WAYS * (low & this.#setMask);
    const places = this.#places;
    for (let place = first; place < first + WAYS; place++) {
      const at = place * WORDS;
      if (places[at + LOW] === low && places[at + HIGH] === high && places[at + ROWS] !== 0) return place;
    }
    return -1;
  }

  /** A place for a block that has none, to which its rows are to be added; -1 where there is no room. */
  claim(low: number, high: number): number {
    const first = WAYS * (low & this.#setMask);
    for (let place = first; place < first + WAYS; place++) {
      const at = place * WORDS;
      if (this.#places[at + ROWS] !== 0) continue;
      this.#stamp(place);
      this.#places[at + LOW] = low;
      this.#places[at + HIGH] = high;
      this.#stamp(place);
      return place;
    }
    return -1;
  }

  rowsAt(place: number): number {
    return this.#places[place * WORDS + ROWS]!;
  }

  add(place: number, row: number): void {
    const word = row >> 5;
    this.#stamp(place);
    this.#bits[this.#bitsAt(place, word)]! |= 1 << (row & 31);
    if (this.#places[place * WORDS + ROWS]!++ === 0) this.#head[TAKEN] = ++this.#taken;
    if (word >= this.#head[WIDTH]!) this.#head[WIDTH] = word + 1;
    this.#stamp(place);
  }

  /** The last row leaves the place free. */
  remove(place: number, row: number): void {
    this.#stamp(place);
    this.#bits[this.#bitsAt(place, row >> 5)]! &= ~(1 << (row & 31));
    if (--this.#places[place * WORDS + ROWS]! === 0) this.#head[TAKEN] = --this.#taken;
    this.#stamp(place);
  }

  rowsOf(place: number): number[] {
    const rows: number[] = [];
    for (let row = 0; row < 32 * this.#head[WIDTH]!; row++)
      if (this.#bits[this.#bitsAt(place, row >> 5)]! & (1 << (row & 31))) rows.push(row);
    return rows;
  }

  /**
   * Writes `value` for each row of the block at the place. Nothing is written where the place is another block's by now, or
   * changes twice while it is read: then nobody is known to hold the block.
   */
  mark(place: number, low: number, high: number, byRow: Float64Array, value: number): void {
    const width = this.#head[WIDTH]!;
    if (!this.#isShared) {
      for (let word = 0; word < width; word++)
        writeBits(this.#bits[this.#bitsAt(place, word)]!, 32 * word, byRow, value);
    } else if (this.#read(place, low, high, width) || this.#read(place, low, high, width)) {
      for (let word = 0; word < width; word++) writeBits(this.#seen[word]!, 32 * word, byRow, value);
    }
  }

  /** Copies the bits of a block. False: they were being changed. */
  #read(place: number, low: number, high: number, width: number): boolean {
    const places = this.#places;
    const stamp = Atomics.load(this.#stamps, place);
    if ((stamp & 1) !== 0) return false;
    if (Atomics.load(places, place * WORDS + LOW) !== low) return false;
    if (Atomics.load(places, place * WORDS + HIGH) !== high) return false;
    for (let word = 0; word < width; word++)
      this.#seen[word] = Atomics.load(this.#bits, this.#bitsAt(place, word));
    return Atomics.load(this.#stamps, place) === stamp;
  }

  /** What is written before it is seen before what is written behind it. */
  #stamp(place: number): void {
    if (this.#isShared) Atomics.add(this.#stamps, place, 1);
  }

  /** Where a word of a place's bits is; see above. */
  #bitsAt(place: number, word: number): number {
    if (word === 0) return place;
    const group = 1 << (31 - Math.clz32(word));
    return group * (this.#count + place - 1) + word;
  }
}

function writeBits(word: number, first: number, byRow: Float64Array, value: number): void {
  if (word === -1) byRow.fill(value, first, first + 32);
  else
    for (let bits = word; bits !== 0; bits &= bits - 1) byRow[first + 31 - Math.clz32(bits & -bits)] = value;
}
