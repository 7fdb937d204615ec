const MARK = '"stream":true';

/**
 * Whether a body asks for a stream, told without keeping it. A header would be easier to see, but not every router hands
 * on those that it does not know.
 */
export class StreamMark {
  found = false;
  /** The end of the last piece, since the mark may lie across two. */
  #tail = '';

  /** A body begins. */
  reset(): void {
    this.found = false;
    this.#tail = '';
  }

  push(buffer: Buffer, from: number, to: number): void {
    if (this.found) return;
    const begin = this.#tail + buffer.toString('latin1', from, Math.min(to, from + MARK.length));
    const at = buffer.indexOf(MARK, from, 'latin1');
    this.found = begin.includes(MARK) || (at >= 0 && at + MARK.length <= to);
    const last = buffer.toString('latin1', Math.max(from, to - MARK.length + 1), to);
    this.#tail = (this.#tail + last).slice(1 - MARK.length);
  }
}
