import { stringEnd } from './string-end.ts';

const QUOTE = 0x22;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;
const SPACE = 0x20;

/** Finds where a JSON value ends that passes by in chunks of any cut: brackets that balance, a closing quote, or what follows a number. */
export class ValueEnd {
  readonly #isScalar: boolean;
  #depth = 0;
  #inString = false;
  /** Bytes of the next chunk that belong to an escape. */
  #skip = 0;

  /** `first` is the value's first byte. */
  constructor(first: number) {
    this.#isScalar = first !== QUOTE && first !== OPEN_BRACKET && first !== OPEN_BRACE;
  }

  /** Index behind the value, which begins or goes on at `from`; -1 where it goes on in the next chunk. */
  in(chunk: Buffer, from: number): number {
    if (this.#isScalar) return endOfScalar(chunk, from);
    for (let at = from; at < chunk.length;) {
      if (this.#inString) {
        const end = stringEnd(chunk, at + this.#skip);
        this.#skip = 0;
        if (end < 0) {
          this.#skip = Math.max(0, ~end - chunk.length);
          return -1;
        }
        this.#inString = false;
        if (this.#depth === 0) return end;
        at = end;
        continue;
      }
      const byte = chunk[at];
      at += 1;
      if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth += 1;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        this.#depth -= 1;
        if (this.#depth <= 0) return at;
      }
    }
    return -1;
  }
}

function endOfScalar(chunk: Buffer, from: number): number {
  for (let at = from; at < chunk.length; at += 1) {
    const byte = chunk[at] ?? SPACE;
    if (byte <= SPACE || byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET) return at;
  }
  return -1;
}

/** Told of an element of a list. False ends the search. */
export type VisitElement = (start: number, end: number, index: number) => boolean;

/**
 * Finds the elements of a JSON list; what they are is not looked at. False where the bytes are no list, or `visit` had
 * seen enough.
 */
export function visitElements(json: Buffer, visit: VisitElement): boolean {
  if (json[0] !== OPEN_BRACKET) return false;
  let at = skipSpace(json, 1);
  if (json[at] === CLOSE_BRACKET) return true;
  for (let index = 0; ; index += 1) {
    const first = json[at];
    if (first === undefined) return false;
    const end = new ValueEnd(first).in(json, at);
    if (end <= at || !visit(at, end, index)) return false;
    at = skipSpace(json, end);
    if (json[at] === CLOSE_BRACKET) return true;
    if (json[at] !== COMMA) return false;
    at = skipSpace(json, at + 1);
  }
}

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  while ((json[at] ?? NONE) <= SPACE) at += 1;
  return at;
}

/** Above every byte. */
const NONE = 256;
