import type { ResponseEditor } from './response-editor.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const NOTHING = Buffer.alloc(0);
/** `model` with every letter escaped. */
const LONGEST_KEY_BYTES = 5 * 6;

/** What the next byte may be part of. */
type State =
  /** Between the parts of a document. */
  | 'between'
  /** In a string that does not matter. */
  | 'string'
  /** In a key of the outermost object. */
  | 'key'
  /** Behind the key `model`: a colon, white space, and then the value. */
  | 'value'
  /** In the name that is replaced. */
  | 'name'
  /** The name has been replaced: the rest is passed on as it is. */
  | 'done';

/**
 * Replaces the first top-level `model` of a JSON object that passes by, if it is a string, whatever the chunks. Nothing
 * is held back, so a body of any size passes; behind the name, which comes early in every known API, nothing is read.
 */
export class JsonModelEditor implements ResponseEditor {
  readonly atEventBoundary = false;
  readonly #by: Buffer;
  #state: State = 'between';
  #depth = 0;
  #isObject = false;
  #escaped = false;
  /** Whether a string that begins now, in the outermost object, is a key. */
  #keyNext = false;
  #key = '';

  /** `by` is JSON. */
  constructor(by: Buffer) {
    this.#by = by;
  }

  push(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length && this.#state !== 'done'; at += 1) {
      // Long texts, instructions for one, may stand before the name.
      if (this.#state === 'string' && !this.#escaped) at = nextOfString(chunk, at);
      const before = this.#state;
      this.#step(chunk[at] ?? 0);
      // The opening quote goes, and everything up to the closing one.
      if (before === 'value' && this.#state === 'name') out.push(chunk.subarray(from, at), this.#by);
      if (before === 'name' || this.#state === 'name') from = at + 1;
    }
    const rest = chunk.subarray(from);
    if (out.length === 0) return rest;
    out.push(rest);
    return Buffer.concat(out);
  }

  end(): Buffer {
    return NOTHING;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case 'between':
        this.#between(byte);
        return;
      case 'value':
        this.#behindKey(byte);
        return;
      case 'string':
      case 'key':
      case 'name':
        this.#inString(byte);
        return;
      case 'done':
    }
  }

  #between(byte: number): void {
    if (byte === QUOTE) {
      this.#state = this.#depth === 1 && this.#keyNext ? 'key' : 'string';
      this.#keyNext = false;
      this.#key = '';
    } else if (byte === 0x7b || byte === 0x5b) {
      this.#depth += 1;
      if (this.#depth === 1) this.#isObject = this.#keyNext = byte === 0x7b;
    } else if (byte === 0x7d || byte === 0x5d) {
      this.#depth -= 1;
    } else if (byte === 0x2c) {
      this.#keyNext = this.#depth === 1 && this.#isObject;
    }
  }

  #behindKey(byte: number): void {
    if (byte === COLON || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) return;
    if (byte === QUOTE) {
      this.#state = 'name';
      return;
    }
    this.#state = 'between';
    this.#between(byte);
  }

  #inString(byte: number): void {
    if (this.#state === 'key' && this.#key.length <= LONGEST_KEY_BYTES && (byte !== QUOTE || this.#escaped))
      this.#key += String.fromCharCode(byte);
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#stringEnded();
  }

  #stringEnded(): void {
    if (this.#state === 'name') this.#state = 'done';
    else if (this.#state === 'key' && isModel(this.#key)) this.#state = 'value';
    else this.#state = 'between';
  }
}

/** Index of the next byte that means something in a string: its end or an escape; the last byte where there is none. */
function nextOfString(chunk: Buffer, from: number): number {
  let at = from;
  while (at < chunk.length - 1 && chunk[at] !== QUOTE && chunk[at] !== BACKSLASH) at += 1;
  return at;
}

function isModel(key: string): boolean {
  if (key === 'model') return true;
  if (key.length > LONGEST_KEY_BYTES || !key.includes('\\')) return false;
  try {
    return JSON.parse(`"${key}"`) === 'model';
  } catch {
    return false;
  }
}
