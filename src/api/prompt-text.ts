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

  tokens(ids: readonly number[]): void {
    this.#add(ids.slice(0, this.#most).join(' '));
  }

  #add(piece: string): void {
    const room = this.#most - this.#text.length;
    if (room > 0) this.#text += piece.length <= room ? piece : piece.slice(0, room);
  }
}
