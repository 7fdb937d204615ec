const LF = 0x0a;
const CR = 0x0d;
/** Behind every index: a small integer, which Infinity is not. */
const NONE = 0x3fffffff;

/**
 * The lines of server-sent events, however their bytes are cut into chunks: a line ends with LF, CRLF or CR. One that
 * ends with CR is over at once: who waited for a line feed would hold back every event of a stream that sends none.
 */
export class EventLines {
  /** The next line feed and carriage return of the chunk, as far as they were looked for; `NONE` = there is none. */
  #lf = -1;
  #cr = -1;
  /** The chunk before ended with a carriage return: a line feed now belongs to it. */
  #afterCr = false;
  /** Whether a line of the stream has ended with both. */
  #pairs = false;
  /** Whether the line under way has bytes. */
  #begun = false;
  #wasEmpty = true;

  /** Begins a chunk. Returns where its first line begins, or goes on. */
  begin(chunk: Buffer): number {
    this.#lf = -1;
    // Nearly no stream has any, so that this is the only search for them.
    this.#cr = found(chunk.indexOf(CR));
    if (!this.#afterCr || chunk.length === 0) return 0;
    this.#afterCr = false;
    if (chunk[0] !== LF) return 0;
    this.#pairs = true;
    return 1;
  }

  /** Index of the byte that ends the line, or -1 where it goes on in the next chunk. */
  end(chunk: Buffer, from: number): number {
    const first = chunk[from];
    let end = from;
    // The empty line behind every event is no search worth.
    if (first !== LF && first !== CR) {
      if (this.#lf < from) this.#lf = found(chunk.indexOf(LF, from));
      if (this.#cr < from) this.#cr = found(chunk.indexOf(CR, from));
      end = this.#lf < this.#cr ? this.#lf : this.#cr;
      if (end === NONE) {
        this.#begun ||= from < chunk.length;
        return -1;
      }
    }
    this.#wasEmpty = !this.#begun && end === from;
    this.#begun = false;
    return end;
  }

  /** Index behind the end of the line. */
  next(chunk: Buffer, end: number): number {
    if (chunk[end] === LF) return end + 1;
    this.#afterCr = end + 1 === chunk.length;
    if (chunk[end + 1] !== LF) return end + 1;
    this.#pairs = true;
    return end + 2;
  }

  /** Whether the line that ended last was an empty one, which ends an event. */
  get endsEvent(): boolean {
    return this.#wasEmpty;
  }

  /** Whether an event could follow: an empty line has ended, and nothing has come since; so a stream begins, too. */
  get atEventBoundary(): boolean {
    // Of a pair, the second half is still to come.
    return this.#wasEmpty && !this.#begun && !(this.#afterCr && this.#pairs);
  }
}

function found(index: number): number {
  return index < 0 ? NONE : index;
}
