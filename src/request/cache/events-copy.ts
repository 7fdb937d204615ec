import { ByteCollector } from '../../base/byte-collector.ts';
import { isObject } from '../../api/prompt-sink.ts';
import type { Assembler } from '../../response-cache/replay/answer-shape.ts';
import { EventLines } from '../answer/event-lines.ts';

/** What an event says beside its text, that of a token being a few bytes. */
const BYTES_PER_ANSWER_BYTE = 4;
const LONGEST_LINE_BYTES = 1024 * 1024;
const DATA = 'data:';
const DONE = '[DONE]';

/** Reads a stream as it comes, however it is cut, into one answer. */
export class EventsCopy {
  readonly #assembler: Assembler;
  readonly #maxBytes: number;
  readonly #lines = new EventLines();
  /** The line under way. */
  readonly #line = new ByteCollector();
  #bytes = 0;
  /** Nobody reads on behind the end. */
  #isDone = false;

  constructor(assembler: Assembler, maxBytes: number) {
    this.#assembler = assembler;
    this.#maxBytes = maxBytes;
  }

  /** @returns why it cannot be kept, if so; then it is over. */
  push(chunk: Buffer): 'too_large' | 'not_replayable' | undefined {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes * BYTES_PER_ANSWER_BYTE) return 'too_large';
    for (let at = this.#lines.begin(chunk); at < chunk.length;) {
      const end = this.#lines.end(chunk, at);
      this.#line.push(chunk.subarray(at, end < 0 ? chunk.length : end));
      if (this.#line.size > LONGEST_LINE_BYTES) return 'too_large';
      if (end < 0) return undefined;
      if (!this.#read(this.#line.take().toString())) return 'not_replayable';
      at = this.#lines.next(chunk, end);
    }
    return undefined;
  }

  take(): Buffer | undefined {
    const answer = this.#assembler.answer();
    const body = answer && Buffer.from(JSON.stringify(answer));
    return body && body.length <= this.#maxBytes ? body : undefined;
  }

  #read(given: string): boolean {
    // A stream may begin with a byte order mark.
    const line = given.replace(/^\ufeff/, '');
    if (!line.startsWith(DATA)) return true;
    const data = line.slice(DATA.length).trim();
    if (data === DONE) this.#isDone = true;
    if (this.#isDone || data === '') return true;
    try {
      const event: unknown = JSON.parse(data);
      return isObject(event) && this.#assembler.add(event);
    } catch {
      return false;
    }
  }
}
