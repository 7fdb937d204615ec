import { LlhttpReader, type LlhttpEvents, type LlhttpHead } from './llhttp-reader.ts';
import type { ReadRequest } from './read-requests.ts';

/** Reads requests with Node's parser and keeps them. */
export class LlhttpRequests implements LlhttpEvents, Disposable {
  readonly requests: ReadRequest[] = [];
  /** How many of them have ended. */
  ended = 0;
  readonly #reader: LlhttpReader;

  constructor(maxHeadBytes: number) {
    this.#reader = new LlhttpReader('requests', maxHeadBytes, this);
  }

  get error(): string | undefined {
    return this.#reader.error;
  }

  feed(bytes: Buffer): void {
    this.#reader.feed(bytes);
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }

  onHead({ status: _, ...head }: LlhttpHead): boolean {
    this.requests.push({ ...head, body: '', trailers: undefined });
    return true;
  }

  onBody(piece: Buffer): void {
    const request = this.requests.at(-1);
    if (request) request.body += piece.toString('latin1');
  }

  onEnd(trailers: readonly string[]): void {
    const request = this.requests.at(-1);
    if (request) request.trailers = trailers;
    this.ended += 1;
  }
}
