import type { Clock, Timer } from '../base/clock.ts';
import type { AdmissionSettings, PriorityClass } from '../config/settings/settings.ts';
import { FairQueue, type Bill, type QueuedFlow, type Standing } from './fair-queue.ts';
import { Line, type Link } from './line.ts';
import { RateBucket } from './rate-bucket.ts';

/** The right to be in flight, held until the response has ended. */
export interface Ticket {
  /** What the request really took, prompt and answer; before `release`. Without it the estimate stands. */
  settle(tokens: number): void;
  /** Only the first call gives it back and returns true. */
  release(): boolean;
}

export interface Admitted {
  readonly kind: 'admitted';
  readonly ticket: Ticket;
}

/**
 * `timeout`: `queueTimeoutMs` passed. `left`: the client went away. `closed`: the router is shutting down. `pushed_out`:
 * the place was given to a request that had more right to it.
 */
export type WaitOutcome =
  | Admitted
  | { readonly kind: 'timeout' | 'left' | 'closed' }
  | { readonly kind: 'pushed_out'; readonly retryAfterSecs: number };

export interface Waiting {
  readonly kind: 'waiting';
  readonly wait: Promise<WaitOutcome>;
  /** Gives up the place. False when the wait is over: its outcome stands, and a ticket in it is to be released. */
  leave(): boolean;
}

export type Entry =
  | Admitted
  | Waiting
  | {
      readonly kind: 'full';
      /** What the queue waits for: a place, or the rate to allow another one. */
      readonly limit: 'concurrency' | 'rate';
      readonly retryAfterSecs: number;
    }
  | { readonly kind: 'closed' };

/** Who asks to be let in. */
export interface Newcomer extends Standing {
  /** Estimate of the tokens of prompt and answer; asked only when the order of those who wait depends on it. */
  readonly tokens: () => number;
}

interface Waiter {
  readonly since: number;
  readonly resolve: (outcome: WaitOutcome) => void;
  leaveQueue: (() => void) | undefined;
  /** Undefined once the wait is over. */
  arrival: Link<Waiter> | undefined;
}

const ANYBODY: Newcomer = { flow: '', priority: 'normal', tokens: () => 1 };

const LONGEST_RETRY_AFTER_SECS = 60;

/**
 * The door: at most `maxConcurrent` requests in flight, from admission to the end of the response, at most
 * `ratePerSecond` admitted per second, and behind it a bounded queue, served by class and fairly within a class.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #queue: FairQueue<Waiter>;
  /** Those who wait in order of arrival, hence of deadline. */
  readonly #arrivals = new Line<Waiter>();
  readonly #bucket: RateBucket;
  readonly #onRelease = (): void => {
    this.#inFlight -= 1;
    if (this.#arrivals.size > 0) this.#advance();
  };
  #settings: AdmissionSettings;
  #inFlight = 0;
  #timer: Timer | undefined;
  #wakesAt = 0;
  #closed = false;

  constructor(settings: AdmissionSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#queue = new FairQueue(clock);
    this.#bucket = new RateBucket(settings.ratePerSecond, clock);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get queued(): number {
    return this.#arrivals.size;
  }

  queuedOf(priority: PriorityClass): number {
    return this.#queue.sizeOf(priority);
  }

  /** How many flows wait or owe. */
  get flowCount(): number {
    return this.#queue.flowCount;
  }

  /** The flows that wait or owe, those with the most waiting first. */
  flows(limit: number): readonly QueuedFlow[] {
    return this.#queue.flows(limit);
  }

  /** The way in for who need not wait; undefined for who must ask to `enter`. */
  enterAtOnce(): Ticket | undefined {
    if (this.#closed) return undefined;
    // The timer may be a moment late; those who wait go first all the same.
    if (this.#arrivals.size > 0 && this.#mayAdmit()) this.#advance();
    return this.#mayAdmit() ? this.#admit() : undefined;
  }

  enter(newcomer: Newcomer = ANYBODY): Entry {
    const ticket = this.enterAtOnce();
    if (ticket) return { kind: 'admitted', ticket };
    if (this.#closed) return { kind: 'closed' };
    if (this.#arrivals.size >= this.#settings.queueSize) this.#sendAway();
    if (this.#arrivals.size >= this.#settings.queueSize) {
      const rival = this.#settings.queueSize > 0 ? this.#queue.rivalOf(newcomer) : undefined;
      if (rival === undefined)
        return { kind: 'full', limit: this.#limit, retryAfterSecs: this.#retryAfterSecs() };
      this.#pushOut(rival);
    }
    return this.#wait(newcomer);
  }

  /**
   * Other limits from now on, for those who wait as well: a shorter queue pushes out, a wider door lets in, deadlines
   * are counted from when the wait began.
   */
  reconfigure(settings: AdmissionSettings): void {
    this.#settings = settings;
    this.#bucket.reconfigure(settings.ratePerSecond);
    this.#admitWaiting();
    while (this.#arrivals.size > settings.queueSize) {
      const waiter = this.#queue.leastEntitled;
      if (waiter === undefined) break;
      this.#pushOut(waiter);
    }
    this.#advance();
  }

  /** Shutting down: all waiters get `closed`, nobody is admitted any more. Tickets stay good. */
  close(): void {
    this.#closed = true;
    for (let waiter = this.#arrivals.first; waiter; waiter = this.#arrivals.first)
      this.#end(waiter, { kind: 'closed' });
  }

  #wait(newcomer: Newcomer): Waiting {
    const { promise, resolve } = Promise.withResolvers<WaitOutcome>();
    const waiter: Waiter = {
      since: this.#clock.now(),
      resolve,
      leaveQueue: undefined,
      arrival: undefined,
    };
    waiter.leaveQueue = this.#queue.add(newcomer, waiter, newcomer.tokens);
    waiter.arrival = this.#arrivals.append(waiter);
    this.#arm();
    return { kind: 'waiting', wait: promise, leave: () => this.#end(waiter, { kind: 'left' }) };
  }

  #end(waiter: Waiter, outcome: WaitOutcome): boolean {
    if (waiter.arrival === undefined) return false;
    this.#arrivals.remove(waiter.arrival);
    waiter.arrival = undefined;
    waiter.leaveQueue?.();
    if (this.#arrivals.size === 0) this.#disarm();
    waiter.resolve(outcome);
    return true;
  }

  #pushOut(waiter: Waiter): void {
    this.#end(waiter, { kind: 'pushed_out', retryAfterSecs: this.#retryAfterSecs() });
  }

  /** Lets in whom it can, and sends away who has waited too long. */
  #advance(): void {
    this.#admitWaiting();
    this.#sendAway();
    this.#arm();
  }

  #admitWaiting(): void {
    while (this.#arrivals.size > 0 && this.#mayAdmit()) {
      const turn = this.#queue.take();
      if (turn === undefined) return;
      this.#end(turn.waiter, { kind: 'admitted', ticket: this.#admit(turn.bill) });
    }
  }

  #sendAway(): void {
    const now = this.#clock.now();
    for (let first = this.#arrivals.first; first; first = this.#arrivals.first) {
      if (this.#deadline(first) > now) return;
      this.#end(first, { kind: 'timeout' });
    }
  }

  #deadline(waiter: Waiter): number {
    return waiter.since + this.#settings.queueTimeoutMs;
  }

  /** Sees to it that the one timer ends by the first deadline, or by the next token if only that is lacking. */
  #arm(): void {
    const { first } = this.#arrivals;
    if (first === undefined) return;
    const now = this.#clock.now();
    let delayMs = this.#deadline(first) - now;
    if (this.#inFlight < this.#settings.maxConcurrent) delayMs = Math.min(delayMs, this.#bucket.msUntil(1));
    delayMs = Math.max(0, Math.ceil(delayMs));
    // One that ends too early does no harm, and spares setting another for each that comes and goes.
    if (this.#timer !== undefined && this.#wakesAt <= now + delayMs) return;
    this.#disarm();
    this.#wakesAt = now + delayMs;
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#advance();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #limit(): 'concurrency' | 'rate' {
    return this.#inFlight < this.#settings.maxConcurrent ? 'rate' : 'concurrency';
  }

  #mayAdmit(): boolean {
    return this.#inFlight < this.#settings.maxConcurrent && this.#bucket.ready;
  }

  #admit(bill?: Bill): Ticket {
    this.#inFlight += 1;
    this.#bucket.take();
    return new PlaceInside(this.#onRelease, bill);
  }

  /** When the rate would let in a request behind the queue; how long the requests in flight take is not known. */
  #retryAfterSecs(): number {
    const secs = Math.ceil(this.#bucket.msUntil(this.#arrivals.size + 1) / 1000);
    return Math.min(Math.max(1, secs), LONGEST_RETRY_AFTER_SECS);
  }
}

class PlaceInside implements Ticket {
  readonly #onRelease: () => void;
  #bill: Bill | undefined;
  #held = true;

  constructor(onRelease: () => void, bill: Bill | undefined) {
    this.#onRelease = onRelease;
    this.#bill = bill;
  }

  settle(tokens: number): void {
    const bill = this.#bill;
    this.#bill = undefined;
    bill?.settle(tokens);
  }

  release(): boolean {
    if (!this.#held) return false;
    this.#held = false;
    this.#bill = undefined;
    this.#onRelease();
    return true;
  }
}
