const WAYS = 4;
/** Layout of one place in 32-bit words; a place of no rows is free. */
const WORDS = 3;
const LOW = 0;
const HIGH = 1;
const ROWS = 2;
const ALL = 0xffff_ffff;

/**
 * The blocks that many workers hold, such as those of a system prompt, and for each of them the set of its rows, a bit per row:
 * who holds such a block is then read in a few words instead of being looked up worker by worker.
 *
 * A block has four places that it may be in, so that nothing ever moves. Where all are taken it is not common, whatever the
 * number of its holders.
 */
export class CommonBlocks {
  readonly #setMask: number;
  #places = new Int32Array(0);
  #bits = new Uint32Array(0);
  /** Words of `#bits` per place. */
  #width = 1;
  #size = 0;

  /** @param most A power of two, at least 4. */
  constructor(most: number) {
    this.#setMask = most / WAYS - 1;
  }

  get bytes(): number {
    return this.#places.byteLength + this.#bits.byteLength;
  }

  /** The place of a block; -1 if it is not common. */
  find(low: number, high: number): number {
    if (this.#size === 0) return -1;
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
    if (this.#places.length === 0) {
      this.#places = new Int32Array(WAYS * (this.#setMask + 1) * WORDS);
      this.#bits = new Uint32Array(WAYS * (this.#setMask + 1) * this.#width);
    }
    const first = WAYS * (low & this.#setMask);
    for (let place = first; place < first + WAYS; place++) {
      const at = place * WORDS;
      if (this.#places[at + ROWS] !== 0) continue;
      this.#places[at + LOW] = low;
      this.#places[at + HIGH] = high;
      return place;
    }
    return -1;
  }

  rowsAt(place: number): number {
    return this.#places[place * WORDS + ROWS]!;
  }

  add(place: number, row: number): void {
    while (row >= 32 * this.#width) this.#widen();
    this.#bits[place * this.#width + (row >> 5)]! |= 1 << (row & 31);
    if (this.#places[place * WORDS + ROWS]!++ === 0) this.#size++;
  }

  /** The last row leaves the place free. */
  remove(place: number, row: number): void {
    this.#bits[place * this.#width + (row >> 5)]! &= ~(1 << (row & 31));
    if (--this.#places[place * WORDS + ROWS]! === 0) this.#size--;
  }

  rowsOf(place: number): number[] {
    const rows: number[] = [];
    for (let row = 0; row < 32 * this.#width; row++)
      if (this.#bits[place * this.#width + (row >> 5)]! & (1 << (row & 31))) rows.push(row);
    return rows;
  }

  /** Writes `value` for each of the block's rows. */
  mark(place: number, byRow: Float64Array, value: number): void {
    for (let word = 0; word < this.#width; word++) {
      let bits = this.#bits[place * this.#width + word]!;
      if (bits === ALL) byRow.fill(value, 32 * word, 32 * word + 32);
      else for (; bits !== 0; bits &= bits - 1) byRow[32 * word + 31 - Math.clz32(bits & -bits)] = value;
    }
  }

  #widen(): void {
    const wider = new Uint32Array(2 * this.#bits.length);
    for (let at = 0; at < this.#bits.length; at++) {
      const place = Math.floor(at / this.#width);
      wider[2 * place * this.#width + (at % this.#width)] = this.#bits[at]!;
    }
    this.#bits = wider;
    this.#width *= 2;
  }
}
