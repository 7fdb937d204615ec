import type { Clock, Timer } from '../base/clock.ts';
import type { AdmissionSettings } from '../config/settings.ts';

/** The right to be in flight, held until the response has ended. */
export interface Ticket {
  /** Only the first call gives it back and returns true. */
  release(): boolean;
}

export interface Admitted {
  readonly kind: 'admitted';
  readonly ticket: Ticket;
}

/** `timeout`: `queueTimeoutMs` passed. `left`: the client went away. `closed`: the router is shutting down. */
export type WaitOutcome = Admitted | { readonly kind: 'timeout' | 'left' | 'closed' };

export interface Waiting {
  readonly kind: 'waiting';
  readonly wait: Promise<WaitOutcome>;
  /** Gives up the place. False when the wait is over: its outcome stands, and a ticket in it is to be released. */
  leave(): boolean;
}

export type Entry =
  | Admitted
  | Waiting
  | { readonly kind: 'full'; readonly retryAfterSecs: number }
  | { readonly kind: 'closed' };

interface Waiter {
  readonly deadline: number;
  settle(outcome: WaitOutcome): void;
}

const LONGEST_RETRY_AFTER_SECS = 60;

/**
 * The door: at most `maxConcurrent` requests in flight, from admission to the end of the response, at most
 * `ratePerSecond` admitted per second (a bucket of as many tokens, at least one, that starts full and refills
 * continuously), and behind it a bounded queue, first come, first served.
 */
export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #clock: Clock;
  /** In order of arrival, hence of deadline. */
  readonly #queue = new Set<Waiter>();
  readonly #capacity: number;
  #inFlight = 0;
  #tokens: number;
  #refilledAt: number;
  #timer: Timer | undefined;
  #closed = false;

  constructor(settings: AdmissionSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#capacity = Math.max(1, settings.ratePerSecond ?? 1);
    this.#tokens = this.#capacity;
    this.#refilledAt = clock.now();
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** `signal`: the client's; a waiting request leaves when it is aborted. */
  enter(signal?: AbortSignal): Entry {
    if (this.#closed) return { kind: 'closed' };
    // The timer may be a moment late; those who wait go first all the same.
    if (this.#queue.size > 0 && this.#mayAdmit()) this.#advance();
    if (this.#mayAdmit()) return { kind: 'admitted', ticket: this.#admit() };
    if (this.#queue.size >= this.#settings.queueSize) {
      return { kind: 'full', retryAfterSecs: this.#retryAfterSecs() };
    }
    return this.#wait(signal);
  }

  /** Shutting down: all waiters get `closed`, nobody is admitted any more. Tickets stay good. */
  close(): void {
    this.#closed = true;
    for (const waiter of [...this.#queue]) waiter.settle({ kind: 'closed' });
  }

  #wait(signal: AbortSignal | undefined): Waiting {
    const { promise, resolve } = Promise.withResolvers<WaitOutcome>();
    const leave = (): boolean => {
      if (!this.#queue.has(waiter)) return false;
      waiter.settle({ kind: 'left' });
      return true;
    };
    const waiter: Waiter = {
      deadline: this.#clock.now() + this.#settings.queueTimeoutMs,
      settle: (outcome) => {
        this.#queue.delete(waiter);
        signal?.removeEventListener('abort', leave);
        if (this.#queue.size === 0) this.#disarm();
        resolve(outcome);
      },
    };
    this.#queue.add(waiter);
    signal?.addEventListener('abort', leave);
    if (signal?.aborted) leave();
    else if (this.#timer === undefined) this.#arm();
    return { kind: 'waiting', wait: promise, leave };
  }

  /** Lets in whom it can, and sends away who has waited too long. */
  #advance(): void {
    for (const waiter of this.#queue) {
      if (this.#mayAdmit()) waiter.settle({ kind: 'admitted', ticket: this.#admit() });
      else if (waiter.deadline <= this.#clock.now()) waiter.settle({ kind: 'timeout' });
      else break;
    }
    if (this.#queue.size > 0) this.#arm();
  }

  /** Sets the one timer to the first deadline, or to the next token if only that is lacking. */
  #arm(): void {
    const [first] = this.#queue;
    if (first === undefined) return;
    let delayMs = first.deadline - this.#clock.now();
    if (this.#inFlight < this.#settings.maxConcurrent) delayMs = Math.min(delayMs, this.#msUntilToken(1));
    this.#disarm();
    this.#timer = this.#clock.after(Math.max(0, Math.ceil(delayMs)), () => {
      this.#timer = undefined;
      this.#advance();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #mayAdmit(): boolean {
    return this.#inFlight < this.#settings.maxConcurrent && this.#refilled() >= 1;
  }

  #admit(): Ticket {
    this.#inFlight += 1;
    if (this.#settings.ratePerSecond !== undefined) this.#tokens -= 1;
    let held = true;
    return {
      release: () => {
        if (!held) return false;
        held = false;
        this.#inFlight -= 1;
        if (this.#queue.size > 0) this.#advance();
        return true;
      },
    };
  }

  #refilled(): number {
    const { ratePerSecond } = this.#settings;
    if (ratePerSecond === undefined) return this.#capacity;
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#capacity, this.#tokens + ((now - this.#refilledAt) / 1000) * ratePerSecond);
    this.#refilledAt = now;
    return this.#tokens;
  }

  /** Time until the bucket has taken in enough for the `nth` request from now, ms. */
  #msUntilToken(nth: number): number {
    const { ratePerSecond } = this.#settings;
    return ratePerSecond === undefined ? 0 : (Math.max(0, nth - this.#refilled()) / ratePerSecond) * 1000;
  }

  /** When the rate would let in a request behind the queue; how long the requests in flight take is not known. */
  #retryAfterSecs(): number {
    const secs = Math.ceil(this.#msUntilToken(this.#queue.size + 1) / 1000);
    return Math.min(Math.max(1, secs), LONGEST_RETRY_AFTER_SECS);
  }
}
