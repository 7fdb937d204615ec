import { bomLength } from '../../api/json-scan.ts';
import { EventLines } from './event-lines.ts';

/** Enough of a line to know what it is: the longest names of events have 40 characters. */
const LOOK_BYTES = 64;
const DATA = Buffer.from('data:');
const EVENT = Buffer.from('event:');
const SPACE = 0x20;
const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/** What the name of an event says of it. */
type Name = 'none' | 'other' | 'delta' | 'end' | 'error';

const NAMES: ReadonlyMap<string, Name> = new Map([
  ['error', 'error'],
  ['message_stop', 'end'],
  ['response.completed', 'end'],
  ['response.incomplete', 'end'],
  ['response.failed', 'error'],
]);
const DELTA = Buffer.from('delta');
/** Tells why an answer of the messages API ended, and brings no text. */
const MESSAGE_DELTA = Buffer.from('message_delta');

/** The beginning of an event that tells of a failure: vLLM's `{"error": {...}}`, and those of other APIs and versions. */
const ERROR =
  /^\{\s*"(?:error"\s*:(?!\s*null)|type"\s*:\s*"(?:error|response\.failed)"|object"\s*:\s*"error")/;
/** The first event of a chat brings the role and no text. */
const ROLE = Buffer.from('role"');
const NO_TEXT = /"content"\s*:\s*(?:""|null)/;
const OPENING_BYTES = 2048;

/** Reads server-sent events as they pass by: counts them, and notices how the stream ends and what went wrong. */
export class EventReader {
  /** Events that carry data. */
  count = 0;
  /** Those of them that bring text, or what the answer consists of. */
  texts = 0;
  /** `[DONE]` has come: clients act on it at once. */
  done = false;
  readonly #lines = new EventLines();
  #failed = false;
  #ended = false;
  /** Of the event under way. */
  #name: Name = 'none';
  #hasData = false;
  #isText = false;
  #isError = false;
  #isFirstLine = true;
  #atLineStart = true;
  /** What the line under way is has been understood. */
  #known = false;
  /** The beginning of a line that was cut. */
  #start: Buffer | undefined;
  #startBytes = 0;

  /** Events with data that have come to their end. */
  get whole(): number {
    return this.count - (this.#hasData ? 1 : 0);
  }

  get atEventBoundary(): boolean {
    return this.#lines.atEventBoundary;
  }

  /** Whether an event said that the answer failed. */
  get failed(): boolean {
    return this.#failed || this.#isError;
  }

  /** Whether the last event that the protocol knows has come, whole. */
  get ended(): boolean {
    return this.done || (this.#lines.atEventBoundary && (this.#ended || this.#failed));
  }

  push(chunk: Buffer): void {
    let at = this.#lines.begin(chunk);
    while (at < chunk.length) {
      const end = this.#lines.end(chunk, at);
      if (end < 0) {
        if (!this.#known) this.#lineBegan(chunk, at);
        return;
      }
      if (!this.#atLineStart) this.#lineWentOn(chunk, at, end);
      else if (end === at) this.#eventEnded();
      else this.#understand(chunk, at, end, true);
      at = this.#lines.next(chunk, end);
    }
  }

  /** The rest of a line that was cut. */
  #lineWentOn(chunk: Buffer, from: number, to: number): void {
    if (!this.#known) {
      const start = this.#gather(chunk, from, to);
      this.#understand(start, 0, this.#startBytes, false);
    }
    this.#atLineStart = true;
    this.#known = false;
    this.#startBytes = 0;
  }

  #lineBegan(chunk: Buffer, from: number): void {
    this.#atLineStart = false;
    const start = this.#gather(chunk, from, chunk.length);
    this.#known = this.#startBytes === LOOK_BYTES;
    if (this.#known) this.#understand(start, 0, LOOK_BYTES, false);
    // The first token is there as soon as its event has begun.
    else if (startsWith(start, this.#textStart(start), this.#startBytes, DATA)) this.#countData();
  }

  #gather(chunk: Buffer, from: number, to: number): Buffer {
    this.#start ??= Buffer.allocUnsafe(LOOK_BYTES);
    this.#startBytes += chunk.copy(this.#start, this.#startBytes, from, to);
    return this.#start;
  }

  #understand(bytes: Buffer, from: number, to: number, isLine: boolean): void {
    const start = this.#isFirstLine ? this.#textStart(bytes, from) : from;
    this.#isFirstLine = false;
    if (startsWith(bytes, start, to, DATA)) this.#data(bytes, start + DATA.length, to, isLine);
    else if (startsWith(bytes, start, to, EVENT)) this.#name = nameOf(bytes, start + EVENT.length, to);
  }

  /** A stream may begin with a byte order mark. */
  #textStart(bytes: Buffer, from = 0): number {
    return this.#isFirstLine ? from + bomLength(bytes.subarray(from)) : from;
  }

  /** An event may have several lines of data. */
  #countData(): void {
    if (!this.#hasData) this.count += 1;
    this.#hasData = true;
  }

  /** `isLine` = the line is there to its end. */
  #data(bytes: Buffer, from: number, to: number, isLine: boolean): void {
    this.#countData();
    const start = bytes[from] === SPACE ? from + 1 : from;
    const first = bytes[start];
    if (first === OPEN_BRACKET && bytes.toString('latin1', start, to) === '[DONE]') {
      this.done = true;
      return;
    }
    this.#isText = true;
    if (first !== OPEN_BRACE) return;
    if (this.#mayTellError(bytes, start) && ERROR.test(textOf(bytes, start, to, LOOK_BYTES)))
      this.#isError = true;
    else if (this.texts === 0 && isLine && isOpening(bytes, start, to)) this.#isText = false;
  }

  /** One look at the first key spares most events the pattern. */
  #mayTellError(bytes: Buffer, start: number): boolean {
    if (bytes[start + 1] !== QUOTE) return true;
    const key = bytes[start + 2];
    // `error`, and where no name tells more: `type`, `object`.
    return key === 0x65 || (this.#name === 'none' && (key === 0x74 || key === 0x6f));
  }

  #eventEnded(): void {
    if (this.#name === 'error' || this.#isError) this.#failed = true;
    else if (this.#name === 'end') this.#ended = true;
    else if (this.#isText && this.#name !== 'other') this.texts += 1;
    this.#name = 'none';
    this.#hasData = this.#isText = this.#isError = false;
  }
}

function startsWith(bytes: Buffer, from: number, to: number, prefix: Buffer): boolean {
  if (to - from < prefix.length) return false;
  for (let i = 0; i < prefix.length; i += 1) if (bytes[from + i] !== prefix[i]) return false;
  return true;
}

function nameOf(bytes: Buffer, from: number, to: number): Name {
  const start = bytes[from] === SPACE ? from + 1 : from;
  if (startsWith(bytes, Math.max(start, to - DELTA.length), to, DELTA))
    return startsWith(bytes, start, to, MESSAGE_DELTA) ? 'other' : 'delta';
  return NAMES.get(bytes.toString('latin1', start, to)) ?? 'other';
}

function isOpening(bytes: Buffer, from: number, to: number): boolean {
  const role = bytes.indexOf(ROLE, from);
  return role >= 0 && role < to && NO_TEXT.test(textOf(bytes, from, to, OPENING_BYTES));
}

function textOf(bytes: Buffer, from: number, to: number, most: number): string {
  return bytes.toString('latin1', from, Math.min(to, from + most));
}
