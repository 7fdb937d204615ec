const WORDS = 64 * 1024;
/** Kept from batch to batch; one that needed more gives it back. */
const MOST_KEPT_WORDS = 1024 * 1024;

/**
 * Memory for the numbers of one batch, used again for the next: an array of more than 64 bytes of its own costs more than reading
 * what goes into it.
 */
export class Arena {
  #words = new Uint32Array(WORDS);
  #used = 0;

  /** What was taken before is used again from here on. */
  reset(): void {
    this.#used = 0;
    if (this.#words.length > MOST_KEPT_WORDS) this.#words = new Uint32Array(WORDS);
  }

  /** Of any content. */
  take(words: number): Uint32Array {
    const end = this.#used + words;
    if (end <= this.#words.length) {
      const taken = this.#words.subarray(this.#used, end);
      this.#used = end;
      return taken;
    }
    this.#words = new Uint32Array(Math.max(2 * this.#words.length, words));
    this.#used = words;
    return this.#words.subarray(0, words);
  }
}
