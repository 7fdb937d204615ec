import type { Channel, Channels } from '../base/channel.ts';
import type { BodySink } from '../http/edge-request.ts';
import type { AdminBody, AdminReply, ServeAdmin } from './exchange.ts';
import {
  ANSWER,
  ASKED,
  BODY,
  bufferOf,
  CAUGHT_UP,
  CUT,
  OVER,
  owned,
  READY,
  WANTED,
  type AnswerHead,
} from './remote-messages.ts';

/** Of an answer. */
const PIECE_BYTES = 64 * 1024;
/** A thread that takes longer is late with everything; who changed something is not kept waiting for it. */
const CATCH_UP_MS = 5_000;

/** Where control serves the worker and admin routes to request threads. */
export class AdminDesk {
  readonly #channels: Channels;
  readonly #catchUpMs: number;
  readonly #byRow = new Map<number, Map<number, RemoteExchange>>();

  constructor(channels: Channels, serve: ServeAdmin, catchUpMs = CATCH_UP_MS) {
    this.#channels = channels;
    this.#catchUpMs = catchUpMs;
    const find = (row: number, id: number): RemoteExchange | undefined => this.#byRow.get(row)?.get(id);
    channels.on(ASKED, (row, { id, head }) => {
      const channel = channels.to(row);
      if (!channel) return;
      const exchange = new RemoteExchange(id, channel);
      this.#of(row).set(id, exchange);
      serve(head, exchange, exchange);
    });
    channels.on(BODY, (row, { id, piece }) => find(row, id)?.receive(piece));
    channels.on(READY, (row, { id }) => find(row, id)?.sendMore());
    channels.on(OVER, (row, { id, sent }) => {
      const exchange = find(row, id);
      this.#of(row).delete(id);
      exchange?.over(sent);
    });
    channels.onEnded((row) => {
      const exchanges = this.#byRow.get(row);
      this.#byRow.delete(row);
      for (const exchange of exchanges?.values() ?? []) exchange.over(false);
    });
  }

  /** How many requests of all threads are here. */
  get underWay(): number {
    let sum = 0;
    for (const { size } of this.#byRow.values()) sum += size;
    return sum;
  }

  /**
   * Resolves when every thread has done what control told it before: whoever is answered then finds it so on whichever connection.
   */
  async caughtUp(): Promise<void> {
    // What is told at the end of this turn comes first.
    await Promise.resolve();
    await this.#channels.askAll(CAUGHT_UP, undefined, this.#catchUpMs);
  }

  #of(row: number): Map<number, RemoteExchange> {
    const known = this.#byRow.get(row);
    if (known) return known;
    const exchanges = new Map<number, RemoteExchange>();
    this.#byRow.set(row, exchanges);
    return exchanges;
  }
}

/** A request whose connection another thread has. */
class RemoteExchange implements AdminBody, AdminReply {
  readonly #id: number;
  readonly #channel: Channel;
  #sink: BodySink | undefined;
  #head: AnswerHead | undefined;
  #headersSent = false;
  /** What has not been sent of the answer. */
  #rest: Uint8Array | undefined;
  #state: 'open' | 'ended' | 'closed' = 'open';
  #onFinished: (() => void) | undefined;
  #onClosed: (() => void)[] = [];

  constructor(id: number, channel: Channel) {
    this.#id = id;
    this.#channel = channel;
  }

  // The body.

  /** It has never come before somebody asks for it. */
  take(): undefined {
    return undefined;
  }

  read(sink: BodySink): void {
    if (this.closed) {
      sink.onBroken();
      return;
    }
    this.#sink = sink;
    this.#channel.post(WANTED, { id: this.#id });
  }

  stop(): void {
    this.#sink = undefined;
  }

  // The answer.

  get headersSent(): boolean {
    return this.#headersSent;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  writeHead(status: number, reason: string, headers: readonly string[]): void {
    this.#headersSent = true;
    this.#head = { status, reason, headers };
  }

  end(rest: Buffer | string = '', onFinished?: () => void): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    this.#onFinished = onFinished;
    this.#rest = typeof rest === 'string' ? Buffer.from(rest) : rest;
    this.sendMore();
  }

  onClosed(listener: () => void): void {
    this.#onClosed.push(listener);
  }

  destroy(): void {
    if (this.closed) return;
    this.#channel.post(CUT, { id: this.#id });
    // Whoever gives it up has something to finish first.
    process.nextTick(() => {
      this.over(false);
    });
  }

  // Of the other end.

  receive(piece: Uint8Array<ArrayBuffer> | 'end' | 'broken'): void {
    const sink = this.#sink;
    if (typeof piece === 'string') {
      this.#sink = undefined;
      if (piece === 'end') sink?.onEnd();
      else sink?.onBroken();
      return;
    }
    sink?.onBytes(bufferOf(piece));
    if (this.#sink) this.#channel.post(WANTED, { id: this.#id });
  }

  /** The client can take another piece. */
  sendMore(): void {
    const rest = this.#rest;
    if (!rest || this.closed) return;
    const piece = owned(rest.subarray(0, PIECE_BYTES));
    const last = rest.length <= PIECE_BYTES;
    this.#rest = last ? undefined : rest.subarray(PIECE_BYTES);
    const head = this.#head;
    this.#head = undefined;
    this.#channel.post(ANSWER, { id: this.#id, head, piece, last }, [piece.buffer]);
  }

  /** Its answer has left, or will never do so. */
  over(sent: boolean): void {
    if (this.closed) return;
    this.#state = 'closed';
    this.#rest = undefined;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onBroken();
    if (sent) this.#onFinished?.();
    const listeners = this.#onClosed;
    this.#onClosed = [];
    this.#onFinished = undefined;
    for (const listener of listeners) listener();
  }
}
