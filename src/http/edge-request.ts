import type { Socket } from 'node:net';
import { ByteCollector } from '../base/byte-collector.ts';
import type { RequestHead } from '../http1/request-head.ts';

/** So much of a body waits for somebody who wants it before the connection is no longer read. */
export const MOST_WAITING_BYTES = 64 * 1024;

/** Takes the body of a request. */
export interface BodySink {
  /** What has come since the last time: the sink's to keep. */
  onBytes(bytes: Buffer): void;
  onEnd(): void;
  /** There will be no end: the client left, or what it sent was no body. */
  onBroken(): void;
}

/** Where the body of a request comes from. */
export interface BodyInlet {
  /** Somebody wants the body, of which the client has sent nothing yet because it asks first. */
  askFor(): void;
  /** As much waits as may wait. */
  pause(): void;
  resume(): void;
}

/** A request on a client's connection: its head, and its body as it comes. */
export class EdgeRequest {
  readonly method: string;
  /** The target as written. */
  readonly url: string;
  /** Names and values as written, flat; one character a byte. */
  readonly rawHeaders: readonly string[];
  readonly httpVersion: '1.0' | '1.1';
  readonly keepAlive: boolean;
  /** Whether it expects something that nobody can meet. */
  readonly expectsUnknown: boolean;
  readonly socket: Socket;
  /** Of the body, as announced; undefined where only its end will tell. */
  readonly length: number | undefined;
  /** Told when more of the body waits than may wait. */
  onFull: (() => void) | undefined;
  readonly #inlet: BodyInlet;
  #asksFirst: boolean;
  readonly #waiting = new ByteCollector();
  #sink: BodySink | undefined;
  #state: 'coming' | 'complete' | 'broken' = 'coming';
  #paused = false;
  #dropped = false;

  constructor(head: RequestHead, socket: Socket, inlet: BodyInlet) {
    this.method = head.method;
    this.url = head.target;
    this.rawHeaders = head.headers;
    this.httpVersion = head.minorVersion === 1 ? '1.1' : '1.0';
    this.keepAlive = head.keepAlive;
    this.expectsUnknown = head.expectsUnknown;
    this.socket = socket;
    this.length = lengthOf(head);
    this.#inlet = inlet;
    this.#asksFirst = head.expectsContinue && this.length !== 0;
  }

  /** Whether the whole body has come, read or not. */
  get complete(): boolean {
    return this.#state === 'complete';
  }

  /** The whole body where it has come already, and nobody reads it; undefined where it is still to come. */
  take(): Buffer | undefined {
    return this.#state === 'complete' && !this.#sink ? this.#waiting.take() : undefined;
  }

  /** From now on the body goes to `sink`, what has come so far at once. */
  read(sink: BodySink): void {
    this.#sink = sink;
    if (this.#state === 'broken') {
      this.#finish()?.onBroken();
      return;
    }
    this.#ask();
    this.flush();
    this.#goOn();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.flush();
    this.#goOn();
  }

  /** Nobody reads it any more: it waits again. */
  stop(): void {
    this.#sink = undefined;
    this.#paused = false;
  }

  /** Nobody ever wants the rest: it is read and forgotten. */
  drop(): void {
    this.stop();
    this.#dropped = true;
    this.#waiting.clear();
    this.#goOn();
  }

  // Of the connection.

  push(piece: Buffer): void {
    this.#asksFirst = false;
    if (!this.#dropped) this.#waiting.push(piece);
  }

  /** Hands on what was pushed, and then the end. */
  flush(): void {
    if (this.#sink && !this.#paused) this.#handOn(this.#sink);
    if (this.#waiting.size < MOST_WAITING_BYTES || this.#state !== 'coming') return;
    this.#inlet.pause();
    this.onFull?.();
  }

  /** The body is whole. */
  end(): void {
    if (this.#state !== 'coming') return;
    this.#state = 'complete';
    this.flush();
  }

  /** It will never be. */
  break(): void {
    if (this.#state !== 'coming') return;
    this.#state = 'broken';
    // The connection may go on for those before it, and with it what would have been the body.
    this.#dropped = true;
    this.#waiting.clear();
    this.#finish()?.onBroken();
  }

  #handOn(sink: BodySink): void {
    if (this.#waiting.size > 0) sink.onBytes(this.#waiting.take());
    if (this.#state === 'complete' && !this.#paused && this.#sink === sink && this.#waiting.size === 0)
      this.#finish()?.onEnd();
  }

  #finish(): BodySink | undefined {
    const sink = this.#sink;
    this.#sink = undefined;
    return sink;
  }

  /** Whose body has come has nothing to say any more about what is read of the connection: that is the next one's. */
  #goOn(): void {
    if (this.#state === 'coming') this.#inlet.resume();
  }

  #ask(): void {
    if (!this.#asksFirst) return;
    this.#asksFirst = false;
    this.#inlet.askFor();
  }
}

function lengthOf({ framing }: RequestHead): number | undefined {
  if (framing.kind === 'none') return 0;
  return framing.kind === 'length' ? framing.length : undefined;
}
