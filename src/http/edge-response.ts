import type { Socket } from 'node:net';
import { answerHead, type BodyFraming } from './answer-head.ts';
import type { EdgeRequest } from './edge-request.ts';
import { linger } from './linger.ts';
import { chunkOf, LAST_CHUNK, lastChunkOf, withHead } from './message-bytes.ts';
import { reset } from './reset.ts';

const NOTHING = Buffer.alloc(0);
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');
/** Behind other answers so much may wait before its writer is asked to wait. */
const MOST_QUEUED_BYTES = 64 * 1024;

/** What becomes of the connection behind an answer: it ends, at once or when the client has sent what it is sending. */
export type AfterAnswer = 'keep' | 'end' | 'linger';

/** The answers of one connection. */
export interface Neighbours {
  /** Whether the connection may end behind this one: no request came after it. From then on none counts. */
  mayEndBehind(res: EdgeResponse): boolean;
  /** Its last byte has left. */
  finished(res: EdgeResponse, socket: Socket, then: AfterAnswer): void;
  /** The connection does not go on behind it, and the client does not expect it to: what came after it is not answered. */
  isLast(res: EdgeResponse): void;
}

/** An answer on a client's connection, whoever gives it. Those behind others wait for their turn. */
export class EdgeResponse {
  readonly req: EdgeRequest;
  /** Seconds for which the connection is kept, as the client is told. */
  readonly #keepAliveSecs: number;
  readonly #neighbours: Neighbours;
  /** Set while it is its turn on the connection. */
  #socket: Socket | undefined;
  #queued: Buffer[] | undefined;
  #queuedBytes = 0;
  /** Goes out with the first bytes of the body. */
  #head: string | undefined;
  #framing: BodyFraming | undefined;
  #keepAlive: boolean;
  /** The request has not ended: what is still to come of it is dropped. */
  #endsConnection = false;
  #ended = false;
  #state: 'open' | 'finished' | 'aborted' = 'open';
  #onFinished: (() => void) | undefined;
  #onClosed: (() => void)[] = [];
  /** Told when what `write` held to be too much has left. */
  onDrain: (() => void) | undefined;

  constructor(req: EdgeRequest, neighbours: Neighbours, keepAliveSecs: number) {
    this.req = req;
    this.#neighbours = neighbours;
    this.#keepAliveSecs = keepAliveSecs;
    this.#keepAlive = req.keepAlive;
  }

  /** Whether there can be no other head any more. */
  get headersSent(): boolean {
    return this.#framing !== undefined;
  }

  /** Whether its last byte has been taken by the system. */
  get finished(): boolean {
    return this.#state === 'finished';
  }

  /** Whether it was given up, by us or by the client. */
  get aborted(): boolean {
    return this.#state === 'aborted';
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** Whether those before it have left, and its bytes go out at once. */
  get hasTurn(): boolean {
    return this.#socket !== undefined;
  }

  /** Whether all of it was handed over, though it may not have left. */
  get ended(): boolean {
    return this.#ended;
  }

  /** `listener` is called once, when it has left or will never do so. */
  onClosed(listener: () => void): void {
    this.#onClosed.push(listener);
  }

  /** Whether the connection may end behind it, which it then has to say: what came after it is answered, too. */
  mayEnd(): boolean {
    return this.#neighbours.mayEndBehind(this);
  }

  /** The connection ends behind this answer, which says so unless its head is out. */
  endConnection(): void {
    if (this.#endsConnection) return;
    this.#endsConnection = true;
    this.#keepAlive = false;
    this.#neighbours.mayEndBehind(this);
  }

  /**
   * An answer may begin before the request has ended. What is still to come of that is dropped then, so the connection
   * cannot be used again, and a client that looks only when it has sent everything has to get the answer all the same.
   *
   * @param headers flat; without framing but for `content-length`. Throws a TypeError for what no header may hold.
   */
  writeHead(status: number, reason: string, headers: readonly string[]): void {
    if (!this.req.complete && this.req.length !== 0) this.endConnection();
    const { text, framing, keepAlive } = answerHead({
      ...{ status, reason, headers, method: this.req.method, httpVersion: this.req.httpVersion },
      ...{ keepAlive: this.#keepAlive, keepAliveSecs: this.#keepAliveSecs },
    });
    this.#head = text;
    this.#framing = framing;
    if (this.#keepAlive && !keepAlive) this.#neighbours.isLast(this);
    this.#keepAlive = keepAlive;
  }

  /** Asks a client for the body that it announced. */
  continue(): void {
    if (!this.headersSent && !this.#ended) this.#send(CONTINUE);
  }

  /** A piece of the body; it is not looked at again. False = not ready for more before `onDrain`. */
  write(bytes: Buffer): boolean {
    if (this.#ended || bytes.length === 0 || this.#framing === 'none') return true;
    return this.#send(this.#framing === 'chunked' ? chunkOf(this.#takeHead(), bytes) : this.#plain(bytes));
  }

  /** The rest of the body. `onFinished` is called when the last byte has left; never when it cannot. */
  end(rest?: Buffer | string, onFinished?: () => void): void {
    if (this.#ended) return;
    const bytes = typeof rest === 'string' ? Buffer.from(rest) : rest;
    const isEmpty = bytes === undefined || bytes.length === 0 || this.#framing === 'none';
    if (this.#framing === 'chunked')
      this.#send(isEmpty ? this.#plain(LAST_CHUNK) : lastChunkOf(this.#takeHead(), bytes));
    else if (!isEmpty || this.#head !== undefined) this.#send(this.#plain(isEmpty ? undefined : bytes));
    this.#ended = true;
    this.#onFinished = onFinished;
    // Not only when it has left: what is not read hides that the client leaves, and others may be before it.
    if (this.#endsConnection) this.req.drop();
    if (this.#socket) this.#whenSent(this.#socket);
  }

  /** It is given up, and the connection with it, once those before it have been answered. */
  destroy(): void {
    if (this.#state !== 'open') return;
    const socket = this.#socket;
    this.#abort();
    if (socket) socket.destroy();
    else this.#neighbours.isLast(this);
  }

  /** The same with a reset, for clients to whom a clean end would pass for the end of the answer. */
  reset(): void {
    const socket = this.#socket;
    if (!socket || this.#state !== 'open') {
      this.destroy();
      return;
    }
    this.#abort();
    reset(socket);
  }

  // Of the connection.

  /** Those before it have left. */
  takeTurn(socket: Socket): void {
    if (this.#state === 'aborted') {
      linger(socket);
      return;
    }
    this.#socket = socket;
    const queued = this.#queued ?? [];
    this.#queued = undefined;
    for (const bytes of queued) this.#write(socket, bytes);
    if (this.#ended) this.#whenSent(socket);
    else if (queued.length > 0 && !socket.writableNeedDrain) this.onDrain?.();
  }

  /** The connection is gone, or somebody else's. */
  abandon(): void {
    if (this.#state === 'open') this.#abort();
  }

  /** Its socket is somebody else's from now on. */
  leave(): void {
    this.#state = 'finished';
    this.#ended = true;
    this.#socket = undefined;
    this.#onClosed = [];
  }

  #abort(): void {
    this.#state = 'aborted';
    this.#ended = true;
    this.#queued = undefined;
    this.#socket = undefined;
    // Whoever gives it up has something to finish first.
    process.nextTick(this.#close);
  }

  #plain(bytes: Buffer | undefined): Buffer[] | Buffer {
    return withHead(this.#takeHead(), bytes);
  }

  #takeHead(): string {
    const head = this.#head ?? '';
    this.#head = undefined;
    return head;
  }

  #send(bytes: Buffer | Buffer[]): boolean {
    if (Array.isArray(bytes)) {
      this.#socket?.cork();
      let ready = true;
      for (const piece of bytes) ready = this.#send(piece);
      this.#socket?.uncork();
      return ready;
    }
    if (this.#socket) return this.#write(this.#socket, bytes);
    (this.#queued ??= []).push(bytes);
    this.#queuedBytes += bytes.length;
    return this.#queuedBytes < MOST_QUEUED_BYTES;
  }

  /** Without a callback: each would cost a turn of the queue of ticks, and only the last one matters. */
  #write(socket: Socket, bytes: Buffer): boolean {
    return !socket.writable || socket.write(bytes);
  }

  #whenSent(socket: Socket): void {
    if (socket.writableLength === 0) process.nextTick(this.#finish);
    else if (socket.writable) socket.write(NOTHING, this.#finish);
  }

  readonly #finish = (error?: Error | null): void => {
    if (error || this.#state !== 'open') return;
    const socket = this.#socket;
    if (!socket || socket.destroyed) return;
    this.#state = 'finished';
    this.#socket = undefined;
    this.#onFinished?.();
    this.#close();
    const then = this.#keepAlive ? 'keep' : this.#endsConnection ? 'linger' : 'end';
    this.#neighbours.finished(this, socket, then);
  };

  readonly #close = (): void => {
    const listeners = this.#onClosed;
    this.#onClosed = [];
    this.onDrain = undefined;
    this.#onFinished = undefined;
    for (const listener of listeners) listener();
  };
}
