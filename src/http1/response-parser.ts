import { BadMessage } from './bad-message.ts';
import type { Block } from './field-lines.ts';
import { MessageReader, type BodyEvents } from './message-reader.ts';
import { readResponseHead, type ResponseHead } from './response-head.ts';

/** What a server sent is not HTTP/1.1 as this router reads it. The message says what is wrong with it. */
export class BadResponse extends Error {
  override readonly name = 'BadResponse';
}

/** What a parser finds, in this order; `onHead` once for each interim (1xx) response and once for the final one. */
export interface ResponseEvents extends BodyEvents {
  onHead(head: ResponseHead): void;
}

const BEGINNING = 'HTTP/1.';
const MOST_INTERIM = 64;

/** Reads one final response of HTTP/1.1, and the interim ones before it, from bytes cut anywhere. */
export class ResponseParser extends MessageReader {
  protected override readonly stateBehind = 'done';
  readonly #method: string;
  readonly #events: ResponseEvents;
  #interim = 0;

  constructor(method: string, maxHeadBytes: number, events: ResponseEvents) {
    super(maxHeadBytes, events);
    this.#method = method;
    this.#events = events;
  }

  /** Whether the response is whole. */
  get done(): boolean {
    return this.state === 'done';
  }

  /** Whether only the end of the connection tells where the body ends. */
  get endsWithConnection(): boolean {
    return this.state === 'until-close';
  }

  /** Whether no byte of a response has come yet. */
  get untouched(): boolean {
    return this.state === 'head' && !this.isInHead && this.#interim === 0;
  }

  /**
   * Reads on.
   * @returns how many bytes belonged to this response: fewer than `bytes.length` when it is whole, has switched protocols, or
   *   has been paused, when the rest is to be pushed again.
   * @throws BadResponse
   */
  push(bytes: Buffer): number {
    try {
      return this.read(bytes);
    } catch (error) {
      throw error instanceof BadMessage ? new BadResponse(error.message) : error;
    }
  }

  /** The connection has ended. @returns whether the response is whole. */
  finish(): boolean {
    if (this.state === 'until-close') {
      this.state = 'done';
      this.#events.onEnd([]);
    }
    return this.state === 'done';
  }

  protected override onHeadBlock(block: Block): void {
    const head = readResponseHead(block, this.#method);
    if (head.status < 200 && head.status !== 101) {
      this.#interim += 1;
      if (this.#interim > MOST_INTERIM) throw new BadMessage('too many interim responses');
    } else if (head.status === 101) {
      this.state = 'done';
    } else {
      this.begin(head.framing);
    }
    this.#events.onHead(head);
  }

  protected override checkBeginning(bytes: Buffer): void {
    const begun = bytes.toString('latin1', 0, BEGINNING.length);
    if (!BEGINNING.startsWith(begun)) throw new BadMessage('it does not begin with an HTTP/1.1 status line');
  }
}
