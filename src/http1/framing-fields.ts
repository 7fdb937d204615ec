import { BadMessage } from './bad-message.ts';
import { isBlank } from './characters.ts';
import type { FieldReader } from './field-lines.ts';

/** How the end of a body is told, unless the end of the connection tells it (RFC 9112 6.3). */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' };

export const NO_BODY: Framing = { kind: 'none' };
export const CHUNKED: Framing = { kind: 'chunked' };

const DIGITS = /^\d{1,15}$/;
const FRAMING_NAMES = /^(?:content-length|transfer-encoding)$/i;

/** What the fields of a head say that tell where the body ends and whether the connection goes on. */
export class FramingFields implements FieldReader {
  /** Words of `Connection`. */
  closes = false;
  keepsAlive = false;
  upgrades = false;
  #length: number | undefined;
  #chunked = false;

  note(name: string, value: string, text: string, from: number, to: number): void {
    // Only these three lengths can be one of them, and most fields are none.
    switch (name.length) {
      case 10:
        if (name.toLowerCase() === 'connection') this.#noteConnection(value);
        return;
      case 14:
        if (name.toLowerCase() === 'content-length') this.#noteLength(value, text.slice(from, to));
        return;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') this.#noteCoding(value, text.slice(from, to));
        return;
      default:
    }
  }

  get isChunked(): boolean {
    return this.#chunked;
  }

  /** How the fields tell the end; undefined where they do not. */
  framing(): Framing | undefined {
    if (this.#chunked) {
      if (this.#length !== undefined) this.refuse('both Content-Length and Transfer-Encoding');
      return CHUNKED;
    }
    return this.#length === undefined ? undefined : { kind: 'length', length: this.#length };
  }

  keepAlive(minorVersion: number): boolean {
    return minorVersion === 1 ? !this.closes : this.keepsAlive;
  }

  /** @throws BadMessage */
  protected refuse(why: string): never {
    throw new BadMessage(why);
  }

  #noteConnection(value: string): void {
    if (value === 'keep-alive') {
      this.keepsAlive = true;
      return;
    }
    for (const option of value.toLowerCase().split(',')) {
      const word = withoutBlanks(option);
      if (word === 'close') this.closes = true;
      else if (word === 'keep-alive') this.keepsAlive = true;
      else if (word === 'upgrade') this.upgrades = true;
    }
  }

  #noteLength(value: string, line: string): void {
    this.#refuseTab(line);
    if (this.#length !== undefined) this.refuse('two Content-Length headers');
    if (!DIGITS.test(value)) this.refuse('a Content-Length that is no number');
    this.#length = Number(value);
  }

  #noteCoding(value: string, line: string): void {
    this.#refuseTab(line);
    if (this.#chunked || value.toLowerCase() !== 'chunked')
      this.refuse('a Transfer-Encoding other than chunked');
    this.#chunked = true;
  }

  /** Readers do not agree on whether it belongs to the value. */
  #refuseTab(line: string): void {
    if (line.includes('\t')) this.refuse('a tab in a header that tells the length');
  }
}

/** `trim` takes more than HTTP knows, and an expression for the end of a text goes over long blanks in it again and again. */
function withoutBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

/** Of the lines behind the last chunk. */
export const TRAILER_LINES: FieldReader = {
  note(name) {
    if (FRAMING_NAMES.test(name)) throw new BadMessage('a length behind the body');
  },
};
