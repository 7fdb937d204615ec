import { BadMessage } from './bad-message.ts';
import { CR, LF } from './characters.ts';
import type { Block, FieldReader } from './field-lines.ts';
import { MessageReader, type BodyEvents } from './message-reader.ts';
import {
  checkRequestBeginning,
  readRequestHead,
  REQUEST_TRAILER_LINES,
  type RequestHead,
} from './request-head.ts';

/** What a client sent is not HTTP/1.1 as this router reads it. The message says what is wrong with it. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
  readonly code: 'invalid_request' | 'headers_too_large';

  constructor(message: string, code: BadRequest['code']) {
    super(message);
    this.code = code;
  }
}

/** What a parser finds, in this order, request by request. */
export interface RequestEvents extends BodyEvents {
  onHead(head: RequestHead): void;
}

/** Empty lines before a request, which some clients send behind a body (RFC 9112 2.2). */
const MOST_EMPTY_LINES = 4;

/** Reads the requests of one connection from bytes cut anywhere. */
export class RequestParser extends MessageReader {
  readonly #events: RequestEvents;
  #emptyLines = 0;
  /** The first half of an empty line has come. */
  #atLf = false;
  /** What came was said to be the last. */
  #isLast = false;

  constructor(maxHeadBytes: number, events: RequestEvents) {
    super(maxHeadBytes, events);
    this.#events = events;
  }

  /** Whether no byte of a request has come since the last one ended, or since the beginning. */
  get betweenRequests(): boolean {
    return this.state === 'head' && !this.isInHead;
  }

  /** Whether bytes of a head have come, and it is not whole. */
  get inHead(): boolean {
    return this.isInHead;
  }

  /**
   * Reads on, through any number of requests.
   * @returns how many bytes were used: fewer than `bytes.length` only when it has been paused; the rest is to be pushed again,
   *   or, behind the head of a handshake, belongs to another protocol.
   * @throws BadRequest
   */
  push(bytes: Buffer): number {
    try {
      return this.read(bytes);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      throw error.isTooLarge
        ? new BadRequest('the request head is too large', 'headers_too_large')
        : new BadRequest(error.message, 'invalid_request');
    }
  }

  protected override get stateBehind(): 'head' {
    return 'head';
  }

  protected override get trailerLines(): FieldReader {
    return REQUEST_TRAILER_LINES;
  }

  protected override skip(bytes: Buffer, at: number): number {
    let next = at;
    for (; next < bytes.length; next += 1) {
      const byte = bytes[next];
      if (byte === CR && !this.#atLf) this.#atLf = true;
      else if (byte === LF && this.#atLf) this.#onEmptyLine();
      else break;
    }
    if (next === bytes.length) return next;
    if (this.#atLf || bytes[next] === LF) throw new BadMessage('a line that does not end in CR LF');
    if (this.#isLast) throw new BadMessage('more behind a request that was to be the last');
    return next;
  }

  #onEmptyLine(): void {
    this.#atLf = false;
    this.#emptyLines += 1;
    if (this.#emptyLines > MOST_EMPTY_LINES) throw new BadMessage('empty lines in place of a request');
  }

  protected override onHeadBlock(block: Block): void {
    const head = readRequestHead(block);
    this.#emptyLines = 0;
    this.#isLast = !head.keepAlive;
    this.begin(head.framing);
    this.#events.onHead(head);
  }

  protected override checkBeginning(bytes: Buffer): void {
    checkRequestBeginning(bytes);
  }
}
