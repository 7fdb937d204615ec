import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { ByteCollector } from '../base/byte-collector.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { RouterError } from '../base/errors.ts';
import { inPieces } from '../base/in-pieces.ts';

export interface BodyLimits {
  readonly maxBytes: number;
  /** Longest pause between two pieces, ms. */
  readonly idleTimeoutMs: number;
}

/** Bytes of request bodies held by all requests together; a request takes them as they arrive and gives them back once. */
export class BodyBytes {
  held = 0;
  #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** Another limit. What is held above it stays until it is given back; meanwhile nothing more is taken. */
  reconfigure(max: number): void {
    this.#max = max;
  }

  take(bytes: number): boolean {
    if (this.held + bytes > this.#max) return false;
    this.held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.held -= bytes;
  }

  /** Undefined where there is no room. */
  hold(bytes: Buffer): HeldBody | undefined {
    return this.take(bytes.length) ? hold(bytes, this) : undefined;
  }
}

/** A body in memory and the duty to give its bytes back. */
export interface HeldBody {
  readonly bytes: Buffer;
  /** Idempotent. */
  readonly release: () => void;
}

/** Length announced by the client, or undefined for chunked bodies. Node has refused malformed values already. */
export function announcedLength(req: IncomingMessage): number | undefined {
  const value = req.headers['content-length'];
  if (value !== undefined) return Number(value);
  return req.headers['transfer-encoding'] === undefined ? 0 : undefined;
}

export function refuseTooLong(req: IncomingMessage, maxBytes: number): void {
  const length = announcedLength(req);
  if (length !== undefined && length > maxBytes) throw tooLarge(maxBytes);
}

/** Reads the whole body. Rejects with `payload_too_large`, `body_timeout`, `inflight_bytes_exceeded` or `client_closed`. */
export function readBody(
  req: IncomingMessage,
  limits: BodyLimits,
  held: BodyBytes,
  clock: Clock,
): Promise<HeldBody> {
  return new Promise((resolve, reject) => {
    const body = new ByteCollector();
    const timer = clock.after(limits.idleTimeoutMs, () => {
      fail(slowBody(limits.idleTimeoutMs));
    });
    const stop = (): void => {
      timer.cancel();
      req.off('data', onData);
      req.off('end', onEnd);
      req.off('close', onClose);
      req.off('error', onClose);
    };
    const fail = (error: RouterError): void => {
      stop();
      held.give(body.size);
      body.clear();
      req.pause();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      timer.refresh();
      if (body.size + chunk.length > limits.maxBytes) fail(tooLarge(limits.maxBytes));
      else if (!held.take(chunk.length)) fail(noRoom());
      else body.push(chunk);
    };
    const onEnd = (): void => {
      stop();
      const whole = inPieces(body.taking());
      resolve(whole instanceof Promise ? whole.then((bytes) => hold(bytes, held)) : hold(whole, held));
    };
    const onClose = (): void => {
      fail(new RouterError('client_closed', 'the client left while it was sending the body'));
    };
    req.on('data', onData);
    req.on('end', onEnd);
    req.on('close', onClose);
    req.on('error', onClose);
  });
}

/** `release` knows the size only: it is kept until the answer has ended, which the bytes need not be. */
function hold(bytes: Buffer, held: BodyBytes): HeldBody {
  const size = bytes.length;
  let released = false;
  return {
    bytes,
    release: () => {
      if (!released) held.give(size);
      released = true;
    },
  };
}

/**
 * A body that is passed on as it arrives. Destroying it leaves the client's connection alone, so that the client can
 * still be answered; back-pressure reaches the client because nothing is read ahead of demand.
 */
export class StreamedBody extends Readable {
  readonly #req: IncomingMessage;
  readonly #limits: BodyLimits;
  readonly #idle: Timer;
  #size = 0;
  #waiting = false;
  #looking: NodeJS.Immediate | undefined;
  /** Whether any byte has been handed on: from then on the request cannot be sent again. */
  consumed = false;
  failure: RouterError | undefined;

  constructor(req: IncomingMessage, limits: BodyLimits, clock: Clock) {
    // One piece ahead: what waits, waits with the request.
    super({ highWaterMark: 1 });
    this.#req = req;
    this.#limits = limits;
    // Slow only counts while we ask for bytes: a slow worker must not be blamed on the client.
    this.#idle = clock.after(limits.idleTimeoutMs, () => {
      if (this.#waiting) this.#fail(slowBody(limits.idleTimeoutMs));
      else this.#idle.refresh();
    });
    // Its sender listens, but while the request waits there is none, and an error that nobody hears ends the process.
    this.on('error', () => undefined);
    req.on('readable', this.#onReadable);
    req.on('end', this.#onEnd);
    req.on('close', this.#onClose);
  }

  get received(): number {
    return this.#size;
  }

  override _read(): void {
    this.#waiting = true;
    this.#idle.refresh();
    this.#pump();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#idle.cancel();
    clearImmediate(this.#looking);
    this.#req.off('readable', this.#onReadable);
    this.#req.off('end', this.#onEnd);
    this.#req.off('close', this.#onClose);
    // Nobody wants the rest, and a client that looks only when it has sent everything is to get its answer.
    if (!this.#req.complete) this.#req.resume();
    callback(error);
  }

  /** Node tells of every chunk by itself: what was read from the socket at once is passed on at once. */
  readonly #onReadable = (): void => {
    this.#looking ??= setImmediate(() => {
      this.#looking = undefined;
      this.#pump();
    });
  };

  #pump(): void {
    while (this.#waiting) {
      const chunk: unknown = this.#req.read();
      if (!Buffer.isBuffer(chunk)) return;
      this.#size += chunk.length;
      if (this.#size > this.#limits.maxBytes) {
        this.#fail(tooLarge(this.#limits.maxBytes));
        return;
      }
      this.consumed = true;
      this.#waiting = this.push(chunk);
      this.#idle.refresh();
    }
  }

  readonly #onEnd = (): void => {
    this.#idle.cancel();
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.#req.complete)
      this.#fail(new RouterError('client_closed', 'the client left while it was sending the body'));
  };

  #fail(error: RouterError): void {
    this.failure = error;
    this.destroy(error);
  }
}

export function tooLarge(maxBytes: number): RouterError {
  return new RouterError('payload_too_large', `the body is larger than ${maxBytes} bytes (max_payload_size)`);
}

export function noRoom(): RouterError {
  return new RouterError(
    'inflight_bytes_exceeded',
    'the router holds as many request bytes as it may; try again',
  );
}

function slowBody(idleMs: number): RouterError {
  return new RouterError('body_timeout', `no byte of the body arrived for ${idleMs / 1000} s`);
}
