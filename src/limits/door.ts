import type { AdmissionSettings, PriorityClass } from '../config/settings/settings.ts';
import type { QueuedFlow, Standing } from './fair-queue.ts';

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

/** Neither a place inside nor one to wait in. */
export interface Full {
  readonly kind: 'full';
  /** What the queue waits for: a place, or the rate to allow another one. */
  readonly limit: 'concurrency' | 'rate';
  readonly retryAfterSecs: number;
}

/** How a wait ends without a place. */
export type Refusal =
  /** `timeout`: `queueTimeoutMs` passed. `left`: the client went away. `closed`: the router is shutting down. */
  | { readonly kind: 'timeout' | 'left' | 'closed' }
  /** The place was given to a request that had more right to it. */
  | { readonly kind: 'pushed_out'; readonly retryAfterSecs: number }
  /** There was none, as the thread says that keeps the queue. */
  | Full;

export type WaitOutcome = Admitted | Refusal;

export interface Waiting {
  readonly kind: 'waiting';
  readonly wait: Promise<WaitOutcome>;
  /** Gives up the place. False when the wait is over: its outcome stands, and a ticket in it is to be released. */
  leave(): boolean;
}

export type Entry = Admitted | Waiting | Full | { readonly kind: 'closed' };

/** Who asks to be let in. */
export interface Newcomer extends Standing {
  /** Estimate of the tokens of prompt and answer; asked only when the order of those who wait depends on it. */
  readonly tokens: () => number;
}

/** Where requests are let in, as all threads see it. */
export interface Door {
  /** Requests inside, of all threads. */
  readonly inFlight: number;
  /** The way in for who need not wait; undefined for who must ask to `enter`. */
  enterAtOnce(): Ticket | undefined;
  enter(newcomer: Newcomer): Entry;
  reconfigure(settings: AdmissionSettings): void;
  /** Shutting down: all waiters get `closed`, nobody is admitted any more. Tickets stay good. */
  close(): void;
  /** Who waits is known where the queue is: a request thread tells of nobody. */
  readonly queued: number;
  queuedOf(priority: PriorityClass): number;
  /** How many flows wait or owe. */
  readonly flowCount: number;
  /** The flows that wait or owe, those with the most waiting first. */
  flows(limit: number): readonly QueuedFlow[];
}
