import { ByteCollector } from '../../base/byte-collector.ts';
import { decodeString } from '../../api/json-scan.ts';
import type { MemberEdit } from '../../api/member-edit.ts';
import { ValueEnd } from '../../api/value-end.ts';
import type { ResponseEditor } from './response-editor.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const NOTHING = Buffer.alloc(0);
/** A longer value is not looked at: no known API has names or counts of that size. */
const LONGEST_VALUE_BYTES = 64 * 1024;

/** What the next byte may be part of. */
type State =
  /** Between the parts of a document. */
  | 'between'
  /** In a string that does not matter. */
  | 'string'
  /** In a key of the outermost object. */
  | 'key'
  /** Behind a key that is meant: a colon, white space, and then the value. */
  | 'colon'
  /** In the value of one. */
  | 'value'
  /** Everything has been changed: the rest is passed on as it is. */
  | 'done';

/** What becomes of the value under way: it waits for its end, or is too long for that and passes, or goes. */
type Fate = 'held' | 'passes' | 'goes';

/**
 * Changes top-level members of a JSON object that passes by, whatever the chunks: of each key the first one that is to be. Nothing is
 * held back but the value of such a key, so a body of any size passes; behind the last one nothing is read.
 */
export class JsonEditor implements ResponseEditor {
  readonly atEventBoundary = false;
  /** Those whose key has not come yet. */
  #edits: readonly MemberEdit[];
  readonly #longestKey: number;
  #state: State = 'between';
  #depth = 0;
  #isObject = false;
  #escaped = false;
  /** Whether a string that begins now, in the outermost object, is a key. */
  #keyNext = false;
  #key = '';
  /** Of the value that is meant. */
  #edit: MemberEdit | undefined;
  #valueEnd: ValueEnd | undefined;
  #fate: Fate = 'held';
  readonly #held = new ByteCollector();

  /** What an edit says of an `absent` member is not done. */
  constructor(edits: readonly MemberEdit[]) {
    this.#edits = edits;
    // Every character may be escaped.
    this.#longestKey = 6 * Math.max(...edits.map(({ key }) => key.length));
  }

  push(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length && this.#state !== 'done';) {
      if (this.#state === 'value') {
        const end = this.#valueEnd?.in(chunk, at) ?? -1;
        if (end < 0) break;
        out.push(this.#ended(chunk.subarray(from, end)));
        from = at = end;
      } else if (this.#state === 'colon' && !isBehindKey(chunk[at])) {
        out.push(chunk.subarray(from, at));
        from = at;
        this.#valueEnd = new ValueEnd(chunk[at] ?? 0);
        this.#state = 'value';
      } else {
        // Long texts, instructions for one, may stand before what is meant.
        if (this.#state === 'string' && !this.#escaped) at = nextOfString(chunk, at);
        this.#step(chunk[at] ?? 0);
        at += 1;
      }
    }
    const rest = chunk.subarray(from);
    out.push(this.#state === 'value' ? this.#hold(rest) : rest);
    return out.length === 1 ? (out[0] ?? NOTHING) : Buffer.concat(out);
  }

  /** Something only where the body has ended within a value. */
  end(): Buffer {
    return this.#held.take();
  }

  #step(byte: number): void {
    if (this.#state === 'between') this.#between(byte);
    else if (this.#state === 'string' || this.#state === 'key') this.#inString(byte);
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

  #inString(byte: number): void {
    if (this.#state === 'key' && this.#key.length <= this.#longestKey && (byte !== QUOTE || this.#escaped))
      this.#key += String.fromCharCode(byte);
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#stringEnded();
  }

  #stringEnded(): void {
    this.#edit = this.#state === 'key' ? this.#editOf(this.#key) : undefined;
    this.#state = this.#edit ? 'colon' : 'between';
  }

  #editOf(key: string): MemberEdit | undefined {
    if (key.length > this.#longestKey) return undefined;
    const plain = key.includes('\\') ? decodeString(Buffer.from(`"${key}"`, 'latin1')) : key;
    return this.#edits.find((edit) => edit.key === plain);
  }

  /** The value that ends with these bytes, or what stands in its place. */
  #ended(last: Buffer): Buffer {
    const bytes = this.#fate === 'held' ? this.#changed(last) : this.#fate === 'passes' ? last : NOTHING;
    this.#fate = 'held';
    this.#state = this.#edits.length === 0 ? 'done' : 'between';
    return bytes;
  }

  #changed(last: Buffer): Buffer {
    this.#held.push(last);
    const value = this.#held.take();
    return this.#by(value) ?? value;
  }

  /** What of the value may go on already. */
  #hold(bytes: Buffer): Buffer {
    if (this.#fate !== 'held') return this.#fate === 'passes' ? bytes : NOTHING;
    this.#held.push(bytes);
    if (this.#held.size <= LONGEST_VALUE_BYTES) return NOTHING;
    const begun = this.#held.take();
    const by = this.#by(NOTHING);
    this.#fate = by ? 'goes' : 'passes';
    return by ?? begun;
  }

  /** In the place of the value; undefined where it stays. */
  #by(value: Buffer): Buffer | undefined {
    const edit = this.#edit;
    const by = edit?.there(value);
    if (by === undefined || by === 'gone') return undefined;
    this.#edits = this.#edits.filter((one) => one !== edit);
    return by;
  }
}

function isBehindKey(byte: number | undefined): boolean {
  return byte === COLON || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Index of the next byte that means something in a string: its end or an escape; the last byte where there is none. */
function nextOfString(chunk: Buffer, from: number): number {
  let at = from;
  while (at < chunk.length - 1 && chunk[at] !== QUOTE && chunk[at] !== BACKSLASH) at += 1;
  return at;
}
