import type { Duplex } from 'node:stream';
import { ByteCollector } from '../../base/byte-collector.ts';
import type { Timer } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type {
  Exchange,
  ResponseSink,
  TransportFailure,
  WorkerClient,
  WorkerRequest,
} from '../../engines/client.ts';
import { headerOf } from '../../http/headers.ts';
import type { Progress } from '../../workers/progress.ts';
import type { Runtime } from '../runtime.ts';
import { StreamStart } from './stream-start.ts';

export interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly string[];
}

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  /** Whether the worker may have seen the request. */
  readonly sent: boolean;
}

/** What an attempt amounts to, at the moment when it must be decided whether the client gets it. */
export type FirstResult =
  /** The first byte of the body, or the end of an empty one. */
  | { readonly kind: 'begun'; readonly head: Head }
  /** A head whose status asks for another attempt; no byte of it has reached the client. */
  | { readonly kind: 'refused'; readonly head: Head; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'upgraded'; readonly head: Head; readonly socket: Duplex };

/** Receives the body once the client is to have it. */
export interface BodyReceiver {
  /** `now` = when it came, monotonic ms. False = not ready for more; `resume()` will be called on the attempt. */
  onChunk(chunk: Buffer, now: number): boolean;
  onComplete(): void;
  onBroken(failure: Failure): void;
}

const RETRYABLE_STATUS = new Set([408, 429, 500, 502, 503, 504]);

/**
 * One request to one worker: from dispatch to the last byte. The worker's head is held until its first body byte (vLLM
 * sends the head of a stream before prefill), so that a worker that dies in prefill can still be replaced.
 */
export class Attempt implements ResponseSink {
  resent = false;
  readonly #rt: Runtime;
  readonly #refuses: (status: number) => boolean;
  readonly #patienceMs: number;
  readonly #exchange: Exchange;
  #first: FirstResult | undefined;
  #onFirst: ((result: FirstResult) => void) | undefined;
  #head: Head | undefined;
  #progress: Progress | undefined;
  /** Pieces to come that the engine has no part in. */
  #preamble = 0;
  #connected = false;
  /** Undefined: the answer begins with its first byte. */
  #start: StreamStart | undefined;
  /** Whether anything came that the engine had to do with. */
  #moved = false;
  #begun = false;
  /** When the last piece came, or the stream went on after a pause. */
  #movedAt = 0;
  #over = false;
  #paused = false;
  /** What of the body came before it was decided who gets it: nearly always one piece. */
  #early: Buffer | undefined;
  #later: ByteCollector | undefined;
  #end: 'complete' | Failure | undefined;
  #receiver: BodyReceiver | undefined;
  #timer: Timer | undefined;
  /** The worker's end of a tunnel. */
  #upgraded: Duplex | undefined;

  /**
   * `refuses` = statuses, beside the retryable ones, that ask for another worker; `patienceMs` = until the first byte of the answer,
   * 0 = none of its own.
   */
  constructor(
    rt: Runtime,
    client: WorkerClient,
    request: WorkerRequest,
    refuses: (status: number) => boolean,
    patienceMs = rt.settings.timeouts.firstTokenMs,
  ) {
    this.#rt = rt;
    this.#refuses = refuses;
    this.#patienceMs = patienceMs;
    this.#exchange = client.send(request, this);
  }

  /** The answer is computed by an engine, after so many pieces: they are counted there. To be called at once. */
  watch(progress: Progress, preamble: number): void {
    this.#progress = progress;
    this.#preamble = preamble;
  }

  /** A stream does not begin before an event behind so many. To be called at once. */
  beginsBehind(preamble: number): void {
    this.#start = new StreamStart(preamble);
  }

  /** Whether a stream began with an error, where that was to be looked at. */
  get beganWithError(): boolean {
    return this.#start?.failed === true;
  }

  /** Of the engine that computes the answer; undefined where none does, so far as is known. */
  get progress(): Progress | undefined {
    return this.#progress;
  }

  /** Whether the engine is waited for. */
  get isAwaited(): boolean {
    return this.#progress !== undefined && this.#connected && !this.#paused && !this.#over;
  }

  /** Whether the engine was asked and nothing of its answer came, over or not. */
  get isSilent(): boolean {
    return this.#progress !== undefined && this.#connected && !this.#moved;
  }

  /** Tells what the attempt amounts to, once. */
  onFirst(callback: (result: FirstResult) => void): void {
    if (this.#first) callback(this.#first);
    else this.#onFirst = callback;
  }

  #settleFirst(result: FirstResult): void {
    if (this.#first) return;
    this.#first = result;
    this.#onFirst?.(result);
    this.#onFirst = undefined;
  }

  /** Nobody can have the body yet: no more of it is to come until `relayTo`. */
  hold(): void {
    if (this.#paused || this.#over) return;
    this.#paused = true;
    this.#exchange.pause();
  }

  /** Lets the body flow to `receiver`, what has come so far first. */
  relayTo(receiver: BodyReceiver): void {
    this.#receiver = receiver;
    this.resume();
    const early = this.#early;
    const later = this.#later?.take();
    this.#early = this.#later = undefined;
    if (early) this.#pass(early);
    if (later) this.#pass(later);
    if (this.#end !== undefined) this.#deliverEnd(this.#end);
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#movedAt = this.#rt.clock.now();
    this.#exchange.resume();
  }

  /** Ends the attempt without a word to anyone: the client left, or another worker is to be tried. */
  abort(): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#exchange.abort();
    this.#upgraded?.destroy();
  }

  /** Ends the attempt with a failure of the router's making (deadline). */
  cut(code: ErrorCode, message: string): void {
    this.#cut({ code, message, sent: true });
  }

  onConnected(): void {
    this.#connected = true;
    const firstTokenMs = this.#patienceMs;
    this.#timer?.cancel();
    if (firstTokenMs === 0) return;
    this.#timer = this.#rt.clock.after(firstTokenMs, () => {
      this.#cut({
        code: 'first_token_timeout',
        message: `no byte of the answer within ${firstTokenMs / 1000} s`,
        sent: true,
      });
    });
  }

  onResent(): void {
    this.resent = true;
  }

  onHead(status: number, statusText: string, headers: readonly string[]): void {
    this.#head = { status, statusText, headers };
    // vLLM's server refuses by itself, whatever its engine does.
    if (status >= 400) this.#progress = undefined;
    if (!RETRYABLE_STATUS.has(status) && !this.#refuses(status)) return;
    this.#settleFirst({
      kind: 'refused',
      head: this.#head,
      retryAfterMs: retryAfterMs(headers, this.#rt.clock.wall()),
    });
  }

  onData(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#preamble > 0) this.#preamble -= 1;
    else if (this.#progress !== undefined) {
      this.#progress.signs += 1;
      this.#moved = true;
    }
    this.#movedAt = this.#rt.clock.now();
    if (!this.#begun && this.#start?.push(chunk, this.#head?.headers ?? []) !== false) this.#begin();
    if (this.#receiver) this.#pass(chunk);
    else if (!this.#early) this.#early = chunk;
    else (this.#later ??= new ByteCollector()).push(chunk);
  }

  onEnd(): void {
    if (this.#over) return;
    if (!this.#begun) {
      this.#movedAt = this.#rt.clock.now();
      this.#begin();
    }
    this.#finish('complete');
  }

  onFailure(failure: TransportFailure): void {
    if (!this.#over) this.#finish(failure);
  }

  onUpgrade(status: number, statusText: string, headers: readonly string[], socket: Duplex): void {
    if (this.#over) {
      socket.destroy();
      return;
    }
    this.#over = true;
    this.#timer?.cancel();
    this.#upgraded = socket;
    this.#settleFirst({ kind: 'upgraded', head: { status, statusText, headers }, socket });
  }

  #begin(): void {
    this.#begun = true;
    this.#timer?.cancel();
    this.#watchIdle(this.#rt.settings.timeouts.streamIdleMs);
    if (this.#head) this.#settleFirst({ kind: 'begun', head: this.#head });
  }

  #watchIdle(ms: number): void {
    this.#timer = this.#rt.clock.after(ms, this.#onIdle);
  }

  /** A piece only says when it came: whether it was soon enough is asked when time is up. */
  readonly #onIdle = (): void => {
    const idleMs = this.#rt.settings.timeouts.streamIdleMs;
    const leftMs = this.#movedAt + idleMs - this.#rt.clock.now();
    // A stream that stands still because its reader is slow is not the worker's fault.
    if (this.#paused) this.#watchIdle(idleMs);
    else if (leftMs > 0) this.#watchIdle(leftMs);
    else
      this.#cut({ code: 'stream_idle_timeout', message: `nothing came for ${idleMs / 1000} s`, sent: true });
  };

  #pass(chunk: Buffer): void {
    if (this.#receiver?.onChunk(chunk, this.#movedAt) !== false || this.#paused) return;
    this.#paused = true;
    this.#exchange.pause();
  }

  #cut(failure: Failure): void {
    if (this.#over) return;
    this.#exchange.abort();
    this.#finish(failure);
  }

  #finish(end: 'complete' | Failure): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#end = end;
    if (end !== 'complete' && !this.#begun) this.#settleFirst({ kind: 'failed', failure: end });
    if (this.#receiver) this.#deliverEnd(end);
  }

  #deliverEnd(end: 'complete' | Failure): void {
    if (end === 'complete') this.#receiver?.onComplete();
    else this.#receiver?.onBroken(end);
  }
}

/** `Retry-After` in ms: seconds or an HTTP date (RFC 9110 10.2.3). */
export function retryAfterMs(headers: readonly string[], wallMs: number): number | undefined {
  const value = headerOf(headers, 'retry-after')?.trim();
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // `Date.parse` makes dates of `-1` and `1.5` too; an HTTP date begins with its weekday.
  const date = /^[A-Za-z]/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallMs);
}
