import type { PromptSink } from './prompt-sink.ts';

/** Collects the text of a prompt, with its roles, up to a number of characters. */
export class PromptText implements PromptSink {
  readonly #most: number;
  #text = '';

  constructor(most: number) {
    this.#most = most;
  }

  get value(): string {
    return this.#text;
  }

  role(name: string): void {
    if (name !== '') this.#add(`${this.#text === '' ? '' : '\n'}[${name}]\n`);
  }

  text(value: string): void {
    this.#add(value);
  }

  utf8(bytes: Buffer, start: number, end: number): void {
    const room = this.#most - this.#text.length;
    // A character takes at most three bytes for each of its units; one that is cut lies behind what there is room for.
    this.#add(bytes.toString('utf8', start, Math.min(end, start + 3 * room + 3)));
  }

  tokens(ids: ArrayLike<number>): void {
    this.#add(Array.prototype.slice.call(ids, 0, this.#most).join(' '));
  }

  #add(piece: string): void {
    const room = this.#most - this.#text.length;
    if (room > 0) this.#text += piece.length <= room ? piece : piece.slice(0, room);
  }
}
