const LINE_FEED = 10;
export const MOST_LINE_BYTES = 16 * 1024 * 1024;

/** Makes lines of pieces: without their ends, a byte order mark or more than `MOST_LINE_BYTES`. */
export class LineSplitter {
  readonly #onLine: (line: string, number: number) => void;
  readonly #onTooLong: (number: number) => void;
  #pieces: Buffer[] = [];
  #size = 0;
  #number = 1;

  /** Lines count from 1. */
  constructor(onLine: (line: string, number: number) => void, onTooLong: (number: number) => void) {
    this.#onLine = onLine;
    this.#onTooLong = onTooLong;
  }

  /** Of the line that the next piece goes on with. */
  get number(): number {
    return this.#number;
  }

  take(piece: Buffer): void {
    let from = 0;
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, from)) {
      this.#keep(piece.subarray(from, end));
      this.end();
      from = end + 1;
    }
    this.#keep(piece.subarray(from));
  }

  /** The line is over, or the file is. */
  end(): void {
    if (this.#size > MOST_LINE_BYTES) this.#onTooLong(this.#number);
    else if (this.#size > 0) this.#onLine(this.#text(), this.#number);
    this.#pieces = [];
    this.#size = 0;
    this.#number += 1;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#size += bytes.length;
    if (this.#size > MOST_LINE_BYTES) this.#pieces = [];
    else this.#pieces.push(bytes);
  }

  #text(): string {
    const [first] = this.#pieces;
    const bytes = this.#pieces.length === 1 && first ? first : Buffer.concat(this.#pieces);
    const text = bytes.toString('utf8').replace(/\r$/, '');
    return this.#number === 1 ? text.replace(/^\uFEFF/, '') : text;
  }
}
