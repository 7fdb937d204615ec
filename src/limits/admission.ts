import type { Clock, Timer } from '../base/clock.ts';
import { Places } from '../base/places.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import type { AdmissionSettings, PriorityClass } from '../config/settings/settings.ts';
import type { Door, Entry, Newcomer, Ticket, Waiting, WaitOutcome } from './door.ts';
import { FairQueue, type Bill, type QueuedFlow } from './fair-queue.ts';
import { Line, type Link } from './line.ts';
import { PlaceInside } from './place-inside.ts';
import { RateBucket } from './rate-bucket.ts';

export type { Admitted, Door, Entry, Newcomer, Ticket, Waiting, WaitOutcome } from './door.ts';

interface Waiter {
  /** The thread that it waits in. */
  readonly row: number;
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
 * Of several threads the one in control has it; the others have a `JoinedAdmission`.
 */
export class Admission implements Door {
  readonly #clock: Clock;
  readonly #queue: FairQueue<Waiter>;
  /** Those who wait in order of arrival, hence of deadline. */
  readonly #arrivals = new Line<Waiter>();
  readonly #places: Places;
  readonly #bucket: RateBucket;
  readonly #self: number;
  readonly #onRelease = (): void => {
    this.#places.give();
    if (this.#arrivals.size > 0) this.advance();
  };
  #settings: AdmissionSettings;
  #timer: Timer | undefined;
  #wakesAt = 0;
  #closed = false;

  constructor(settings: AdmissionSettings, clock: Clock, memory: ThreadMemory = ownMemory()) {
    this.#settings = settings;
    this.#clock = clock;
    this.#queue = new FairQueue(clock);
    this.#self = memory.self;
    this.#places = new Places(memory, 'admission:places', settings.maxConcurrent);
    this.#bucket = new RateBucket(settings.ratePerSecond, clock, memory);
  }

  get inFlight(): number {
    return this.#places.count;
  }

  get queued(): number {
    return this.#arrivals.size;
  }

  queuedOf(priority: PriorityClass): number {
    return this.#queue.sizeOf(priority);
  }

  get flowCount(): number {
    return this.#queue.flowCount;
  }

  flows(limit: number): readonly QueuedFlow[] {
    return this.#queue.flows(limit);
  }

  enterAtOnce(row = this.#self): Ticket | undefined {
    if (this.#closed) return undefined;
    if (this.#arrivals.size > 0) {
      // The timer may be a moment late; those who wait go first all the same.
      this.advance();
      // A place may come free in another thread in between.
      if (this.#arrivals.size > 0) return undefined;
    }
    return this.#takePlace() ? this.#ticket(row) : undefined;
  }

  /** @param row The thread that the request is in. */
  enter(newcomer: Newcomer = ANYBODY, row = this.#self): Entry {
    const ticket = this.enterAtOnce(row);
    if (ticket) return { kind: 'admitted', ticket };
    if (this.#closed) return { kind: 'closed' };
    if (this.#arrivals.size >= this.#settings.queueSize) this.#sendAway();
    if (this.#arrivals.size >= this.#settings.queueSize) {
      const rival = this.#settings.queueSize > 0 ? this.#queue.rivalOf(newcomer) : undefined;
      if (rival === undefined)
        return { kind: 'full', limit: this.#limit, retryAfterSecs: this.#retryAfterSecs() };
      this.#pushOut(rival);
    }
    return this.#wait(newcomer, row);
  }

  /**
   * Other limits from now on, for those who wait as well: a shorter queue pushes out, a wider door lets in, deadlines
   * are counted from when the wait began.
   */
  reconfigure(settings: AdmissionSettings): void {
    this.#settings = settings;
    this.#places.reconfigure(settings.maxConcurrent);
    this.#bucket.reconfigure(settings.ratePerSecond);
    this.#admitWaiting();
    while (this.#arrivals.size > settings.queueSize) {
      const waiter = this.#queue.leastEntitled;
      if (waiter === undefined) break;
      this.#pushOut(waiter);
    }
    this.advance();
  }

  /** What a thread that has died had is free. Its waiters are to have left. */
  reclaim(row: number): void {
    this.#places.reclaim(row);
    this.advance();
  }

  /** Lets in whom it can, and sends away who has waited too long. To be called when another thread has given a place back. */
  advance(): void {
    this.#admitWaiting();
    this.#sendAway();
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    for (let waiter = this.#arrivals.first; waiter; waiter = this.#arrivals.first)
      this.#end(waiter, { kind: 'closed' });
  }

  #wait(newcomer: Newcomer, row: number): Waiting {
    const { promise, resolve } = Promise.withResolvers<WaitOutcome>();
    const waiter: Waiter = {
      row,
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

  #admitWaiting(): void {
    while (this.#arrivals.size > 0 && this.#takePlace()) {
      const turn = this.#queue.take();
      if (turn === undefined) {
        this.#places.give();
        return;
      }
      this.#end(turn.waiter, { kind: 'admitted', ticket: this.#ticket(turn.waiter.row, turn.bill) });
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
    if (!this.#places.full) delayMs = Math.min(delayMs, this.#bucket.msUntil(1));
    delayMs = Math.max(0, Math.ceil(delayMs));
    // One that ends too early does no harm, and spares setting another for each that comes and goes.
    if (this.#timer !== undefined && this.#wakesAt <= now + delayMs) return;
    this.#disarm();
    this.#wakesAt = now + delayMs;
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = undefined;
      this.advance();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #limit(): 'concurrency' | 'rate' {
    return this.#places.full ? 'concurrency' : 'rate';
  }

  #takePlace(): boolean {
    if (!this.#bucket.ready || !this.#places.take()) return false;
    if (this.#bucket.take()) return true;
    this.#places.give();
    return false;
  }

  /** For the place that has just been taken. */
  #ticket(row: number, bill?: Bill): Ticket {
    if (row === this.#self) return new PlaceInside(this.#onRelease, bill);
    this.#places.handTo(row);
    return new PlaceInside(() => {
      this.#places.giveFor(row);
      if (this.#arrivals.size > 0) this.advance();
    }, bill);
  }

  /** When the rate would let in a request behind the queue; how long the requests in flight take is not known. */
  #retryAfterSecs(): number {
    const secs = Math.ceil(this.#bucket.msUntil(this.#arrivals.size + 1) / 1000);
    return Math.min(Math.max(1, secs), LONGEST_RETRY_AFTER_SECS);
  }
}
