import { Readable } from 'node:stream';
import { ByteCollector } from '../base/byte-collector.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { RouterError } from '../base/errors.ts';
import { inPieces } from '../base/in-pieces.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import type { BodySink, EdgeRequest } from './edge-request.ts';

export interface BodyLimits {
  readonly maxBytes: number;
  /** Longest pause between two pieces, ms. */
  readonly idleTimeoutMs: number;
}

const HELD = 0;
const MAX = 1;
const FIRST_ROW = 2;

/**
 * Bytes of request bodies held by all requests of all threads together; a request takes them as they arrive and gives them back
 * once. What each thread holds is written down as `Places` do it, so that the bytes of one that has died can be taken back. In 64
 * bits, since bodies may be more than 2 GiB.
 */
export class BodyBytes {
  readonly #words: BigInt64Array;
  /** The same memory: a word that one thread writes need not be one that `Atomics` knows. */
  readonly #rows: Float64Array;
  readonly #self: number;

  constructor(max: number, memory: ThreadMemory = ownMemory()) {
    const region = memory.region('body-bytes', 8 * (FIRST_ROW + memory.rows));
    this.#words = new BigInt64Array(region);
    this.#rows = new Float64Array(region);
    this.#self = memory.self;
    this.reconfigure(max);
  }

  get held(): number {
    return Number(Atomics.load(this.#words, HELD));
  }

  /** Another limit: row 0 says it for all. What is held above it stays until it is given back; meanwhile nothing more is taken. */
  reconfigure(max: number): void {
    if (this.#self === 0) Atomics.store(this.#words, MAX, BigInt(max));
  }

  take(bytes: number): boolean {
    const words = this.#words;
    const rows = this.#rows;
    const own = FIRST_ROW + this.#self;
    const more = BigInt(bytes);
    for (;;) {
      const held = Atomics.load(words, HELD);
      if (held + more > Atomics.load(words, MAX)) return false;
      if (Atomics.compareExchange(words, HELD, held, held + more) !== held) continue;
      rows[own] = (rows[own] ?? 0) + bytes;
      return true;
    }
  }

  give(bytes: number): void {
    const rows = this.#rows;
    const own = FIRST_ROW + this.#self;
    Atomics.sub(this.#words, HELD, BigInt(bytes));
    rows[own] = (rows[own] ?? 0) - bytes;
  }

  /** Undefined where there is no room. */
  hold(bytes: Buffer): HeldBody | undefined {
    return this.take(bytes.length) ? hold(bytes, this) : undefined;
  }

  /** What a thread that has died held is free. */
  reclaim(row: number): void {
    Atomics.sub(this.#words, HELD, BigInt(this.#rows[FIRST_ROW + row] ?? 0));
    this.#rows[FIRST_ROW + row] = 0;
  }
}

/** A body in memory and the duty to give its bytes back. */
export interface HeldBody {
  readonly bytes: Buffer;
  /** Idempotent. */
  readonly release: () => void;
}

export function refuseTooLong({ length }: Pick<EdgeRequest, 'length'>, maxBytes: number): void {
  if (length !== undefined && length > maxBytes) throw tooLarge(maxBytes);
}

/**
 * Reads the whole body; at once where it has come already. Throws or rejects with `payload_too_large`, `body_timeout`,
 * `inflight_bytes_exceeded` or `client_closed`.
 */
export function readBody(
  req: Pick<EdgeRequest, 'take' | 'read' | 'stop'>,
  limits: BodyLimits,
  held: BodyBytes,
  clock: Clock,
): HeldBody | Promise<HeldBody> {
  const whole = req.take();
  if (!whole)
    return new Promise((resolve, reject) => {
      req.read(new BodyReader(req, { limits, held, clock, resolve, reject }));
    });
  if (whole.length > limits.maxBytes) throw tooLarge(limits.maxBytes);
  if (!held.take(whole.length)) throw noRoom();
  return hold(whole, held);
}

interface Reading {
  readonly limits: BodyLimits;
  readonly held: BodyBytes;
  readonly clock: Clock;
  readonly resolve: (body: HeldBody | Promise<HeldBody>) => void;
  readonly reject: (error: RouterError) => void;
}

class BodyReader implements BodySink {
  readonly #req: Pick<EdgeRequest, 'stop'>;
  readonly #reading: Reading;
  readonly #timer: Timer;
  readonly #body = new ByteCollector();

  constructor(req: Pick<EdgeRequest, 'stop'>, reading: Reading) {
    const { idleTimeoutMs } = reading.limits;
    this.#req = req;
    this.#reading = reading;
    this.#timer = reading.clock.after(idleTimeoutMs, () => {
      this.#fail(slowBody(idleTimeoutMs));
    });
  }

  onBytes(bytes: Buffer): void {
    const { limits, held } = this.#reading;
    this.#timer.refresh();
    if (this.#body.size + bytes.length > limits.maxBytes) this.#fail(tooLarge(limits.maxBytes));
    else if (!held.take(bytes.length)) this.#fail(noRoom());
    else this.#body.push(bytes);
  }

  onEnd(): void {
    const { held, resolve } = this.#reading;
    this.#timer.cancel();
    const whole = inPieces(this.#body.taking());
    resolve(whole instanceof Promise ? whole.then((bytes) => hold(bytes, held)) : hold(whole, held));
  }

  onBroken(): void {
    this.#fail(new RouterError('client_closed', 'the client left while it was sending the body'));
  }

  #fail(error: RouterError): void {
    this.#timer.cancel();
    this.#req.stop();
    this.#reading.held.give(this.#body.size);
    this.#body.clear();
    this.#reading.reject(error);
  }
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
export class StreamedBody extends Readable implements BodySink {
  readonly #req: EdgeRequest;
  readonly #limits: BodyLimits;
  readonly #idle: Timer;
  #size = 0;
  #waiting = false;
  #isRead = false;
  /** Whether any byte has been handed on: from then on the request cannot be sent again. */
  consumed = false;
  failure: RouterError | undefined;

  constructor(req: EdgeRequest, limits: BodyLimits, clock: Clock) {
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
  }

  get received(): number {
    return this.#size;
  }

  override _read(): void {
    this.#waiting = true;
    this.#idle.refresh();
    if (this.#isRead) {
      this.#req.resume();
      return;
    }
    this.#isRead = true;
    this.#req.read(this);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#idle.cancel();
    // Nobody wants the rest, and a client that looks only when it has sent everything is to get its answer.
    if (!this.#req.complete) this.#req.drop();
    callback(error);
  }

  onBytes(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#size > this.#limits.maxBytes) {
      this.#fail(tooLarge(this.#limits.maxBytes));
      return;
    }
    this.consumed = true;
    this.#waiting = false;
    // It may ask for more within this call.
    this.#req.pause();
    this.push(bytes);
    this.#idle.refresh();
  }

  onEnd(): void {
    this.#idle.cancel();
    this.push(null);
  }

  onBroken(): void {
    this.#fail(new RouterError('client_closed', 'the client left while it was sending the body'));
  }

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
