const SMALLEST_BYTES = 512;
const NOTHING = Buffer.alloc(0);

/** Bytes of something that has not come whole; each is copied a few times at most, however small the pieces are. */
export class Partial {
  size = 0;
  #bytes: Buffer = NOTHING;

  /** All so far. */
  push(piece: Buffer): Buffer {
    const size = this.size + piece.length;
    if (size > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(SMALLEST_BYTES, 2 * size));
      this.#bytes.copy(larger, 0, 0, this.size);
      this.#bytes = larger;
    }
    piece.copy(this.#bytes, this.size);
    this.size = size;
    return this.#bytes.subarray(0, size);
  }

  /** What `push` has given is its caller's: a connection that waits for its next message holds nothing. */
  clear(): void {
    this.size = 0;
    this.#bytes = NOTHING;
  }
}
