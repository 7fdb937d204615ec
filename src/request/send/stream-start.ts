import { isEventStream } from '../../http/headers.ts';
import { EventReader } from '../answer/event-reader.ts';

/** What comes before the first event that says something is held no longer than this. */
const MOST_HELD_BYTES = 64 * 1024;

/**
 * Where an answer begins that may still turn out to be none: with its first byte, or, of a stream, with its first whole event behind those
 * that are sent before the engine has done anything.
 */
export class StreamStart {
  readonly #preamble: number;
  readonly #reader = new EventReader();
  #bytes = 0;

  /** @param preamble How many events those are. */
  constructor(preamble: number) {
    this.#preamble = preamble;
  }

  /** Whether the stream began with an error. */
  get failed(): boolean {
    return this.#reader.failed;
  }

  /** Whether the answer has begun with this. */
  push(chunk: Buffer, headers: readonly string[]): boolean {
    if (!isEventStream(headers)) return true;
    this.#reader.push(chunk);
    this.#bytes += chunk.length;
    return this.#reader.ended || this.#reader.whole > this.#preamble || this.#bytes > MOST_HELD_BYTES;
  }
}
