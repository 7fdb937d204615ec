import type { Clock } from '../base/clock.ts';
import type { LoadColumns, LoadView } from '../routing/policy.ts';
import { PrefillQueues } from './prefill-queues.ts';
import type { QueuedPrompt } from './prefill-queues.ts';
import { PrefillRates, resized } from './prefill-rates.ts';

/** What one request is expected to cost a worker. Token counts may be estimates; they are rounded to whole tokens. */
export interface LeaseAsk {
  /** Prompt tokens the worker has to compute, those it has cached left out. */
  readonly prefillTokens: number;
  /** Tokens of KV cache it is expected to hold: prompt and answer. */
  readonly kvTokens: number;
  readonly stream: boolean;
}

/** One request's share of a worker's load, from dispatch to its end. */
export interface Lease {
  readonly slot: number;
  readonly generation: number;
  /**
   * The first non-empty data event of a streamed body has come: its prefill is over, and the worker's speed is learnt
   * from how long it took. `uncachedTokens` is the prefill it needed, as well as that is known by now. Does nothing
   * for what is not streamed, the second time, and after `release`.
   */
  firstToken(uncachedTokens: number): void;
  /** The answer grew by `count` tokens that `kvTokens` did not foresee. */
  tokens(count: number): void;
  /** Gives everything back. Only the first call does so and returns true. */
  release(): boolean;
}

export interface SlotId {
  readonly slot: number;
  readonly generation: number;
}

const FIRST_CAPACITY = 16;
/** Keeps sums finite and exact whatever a caller's estimate yields. */
const MOST_TOKENS = 2 ** 40;

/**
 * The load of every worker as this router caused it, exact at every instant: one row of flat counters of whole
 * numbers, indexed by slot, written at dispatch, first token and end. Polled metrics only add what others cause.
 */
export class LoadLedger implements LoadView {
  readonly #clock: Clock;
  readonly #rates: PrefillRates;
  readonly #queues: PrefillQueues;
  #openLeases = 0;
  #externalTtlMs = 30_000;
  #capacity = 0;
  #slots = 0;
  /** Slots whose worker left and whose leases are back. */
  readonly #reusable: number[] = [];
  readonly #generations: number[] = [];
  readonly #allocated: boolean[] = [];
  /** Who wants to know when a slot's last lease is back. */
  readonly #idleWatch = new Map<number, Set<() => void>>();
  #own = new Float64Array(0);
  #mostOwn = new Float64Array(0);
  #kv = new Float64Array(0);
  #external = new Float64Array(0);
  #externalAt = new Float64Array(0);
  /** Reports of others' load may be too old from then on. */
  #externalGoodUntil = Infinity;
  /** Own and external together. */
  #running = new Float64Array(0);
  readonly #book: Book = {
    firstToken: (lease, uncachedTokens) => {
      this.#firstToken(lease, uncachedTokens);
    },
    grow: (slot, tokens) => {
      this.#kv[slot] = (this.#kv[slot] ?? 0) + tokens;
    },
    close: (lease) => {
      this.#close(lease);
    },
  };

  constructor(clock: Clock, options: { readonly defaultRate?: number } = {}) {
    this.#clock = clock;
    this.#rates = new PrefillRates(options.defaultRate ?? 8000);
    this.#queues = new PrefillQueues(this.#rates);
    this.#reserve(FIRST_CAPACITY);
  }

  /** Leases not yet released, over all slots. */
  get openLeases(): number {
    return this.#openLeases;
  }

  allocate(): SlotId {
    const slot = this.#reusable.pop() ?? this.#slots++;
    if (slot >= this.#capacity) this.#reserve(2 * this.#capacity);
    this.#allocated[slot] = true;
    const generation = (this.#generations[slot] ?? 0) + 1;
    this.#generations[slot] = generation;
    return { slot, generation };
  }

  /** The worker left. What was learnt of it is forgotten; the slot is given away again once its leases are back. */
  free(slot: number): void {
    this.#assertAllocated(slot);
    this.#allocated[slot] = false;
    this.#rates.forget(slot);
    this.#external[slot] = 0;
    this.#running[slot] = this.own(slot);
    if (this.own(slot) === 0) this.#reusable.push(slot);
  }

  /** In a request thread: control has given the slot to a worker. */
  adopt(slot: number, generation: number): void {
    while (slot >= this.#capacity) this.#reserve(2 * this.#capacity);
    this.#slots = Math.max(this.#slots, slot + 1);
    this.#allocated[slot] = true;
    this.#generations[slot] = generation;
  }

  /** In a request thread: the worker of the slot left. */
  left(slot: number): void {
    this.#allocated[slot] = false;
  }

  /** Books a request at the moment of its dispatch. Throws a `RangeError` for a slot that no worker has. */
  acquire(slot: number, ask: LeaseAsk): Lease {
    this.#assertAllocated(slot);
    const now = this.#clock.now();
    const lease = new BookedLease(this.#book, slot, this.#generations[slot] ?? 0, ask, now);
    if (lease.stream) lease.ahead = this.#queues.remaining(slot, now);
    this.#queues.push(lease, now);
    const own = this.own(slot) + 1;
    this.#own[slot] = own;
    this.#running[slot]! += 1;
    if (own > this.mostOwn(slot)) this.#mostOwn[slot] = own;
    this.#kv[slot] = this.kvTokens(slot) + lease.kv;
    this.#openLeases += 1;
    return lease;
  }

  /** Calls back once, when no lease is out on the slot; at once where none is. Returns what withdraws the wish. */
  whenIdle(slot: number, callback: () => void): () => void {
    if (this.own(slot) === 0) {
      callback();
      return () => undefined;
    }
    const watchers = this.#idleWatch.get(slot) ?? new Set();
    this.#idleWatch.set(slot, watchers.add(callback));
    return () => {
      if (watchers.delete(callback) && watchers.size === 0) this.#idleWatch.delete(slot);
    };
  }

  running(slot: number): number {
    if ((this.#external[slot] ?? 0) > 0) this.#forgetOld(this.#clock.now());
    return this.#running[slot] ?? 0;
  }

  /** Requests of this router alone. */
  own(slot: number): number {
    return this.#own[slot] ?? 0;
  }

  /** The most of them at a time since `watchOwn`. */
  mostOwn(slot: number): number {
    return this.#mostOwn[slot] ?? 0;
  }

  /** A report of the engine has been asked for: nobody can tell at which moment until its coming it will be true. */
  watchOwn(slot: number): void {
    this.#mostOwn[slot] = this.own(slot);
  }

  /** `now` is for who has just looked at the clock. */
  prefillTokens(slot: number, now = this.#queues.moves(slot) ? this.#clock.now() : 0): number {
    return Math.ceil(this.#queues.outstanding(slot, now));
  }

  kvTokens(slot: number): number {
    return this.#kv[slot] ?? 0;
  }

  prefillRate(slot: number): number {
    return this.#rates.rate(slot);
  }

  /** Nothing is copied: they are kept up to date, but for what time alone changes. */
  columns(): LoadColumns {
    const now = this.#clock.now();
    this.#forgetOld(now);
    return {
      running: this.#running,
      prefillTokens: this.#queues.column(now),
      prefillRate: this.#rates.column(),
    };
  }

  /** Time from now to the first token of a prompt that needs `uncachedTokens` computed, ms. */
  predictedTtftMs(slot: number, uncachedTokens: number): number {
    return ((this.prefillTokens(slot) + uncachedTokens) / this.prefillRate(slot)) * 1000;
  }

  /**
   * What the engine itself reports: `reported` requests running or waiting there at `at` (`clock.now()`), `ours` of which
   * were this router's at that time: a report that is compared with what we have there by now would make others' load of
   * our own that has ended since. What goes beyond ours is added to `running` until a newer report, or until it is too old.
   */
  setExternal(slot: number, reported: number, ours: number, at: number): void {
    if (this.#allocated[slot] !== true) return;
    const external = Math.max(0, whole(reported) - ours);
    this.#external[slot] = external;
    this.#externalAt[slot] = at;
    this.#running[slot] = this.own(slot) + external;
    if (external > 0) this.#externalGoodUntil = Math.min(this.#externalGoodUntil, at + this.#externalTtlMs);
  }

  /** Reports are forgotten when older than this; three polling periods. */
  setExternalTtl(ms: number): void {
    if (ms !== this.#externalTtlMs) this.#externalGoodUntil = -Infinity;
    this.#externalTtlMs = ms;
  }

  #forgetOld(now: number): void {
    if (now <= this.#externalGoodUntil) return;
    let goodUntil = Infinity;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#external[slot] === 0) continue;
      const until = this.#externalAt[slot]! + this.#externalTtlMs;
      if (now > until) {
        this.#external[slot] = 0;
        this.#running[slot] = this.own(slot);
      } else goodUntil = Math.min(goodUntil, until);
    }
    this.#externalGoodUntil = goodUntil;
  }

  #firstToken(lease: BookedLease, uncachedTokens: number): void {
    const now = this.#clock.now();
    this.#queues.remove(lease, now);
    if (this.#allocated[lease.slot] !== true) return;
    this.#rates.learn(lease.slot, lease.ahead + whole(uncachedTokens), now - lease.dispatchedAt);
  }

  #close(lease: BookedLease): void {
    const { slot } = lease;
    if (lease.queued) this.#queues.remove(lease, this.#clock.now());
    const own = this.own(slot) - 1;
    this.#own[slot] = own;
    this.#running[slot]! -= 1;
    this.#kv[slot] = this.kvTokens(slot) - lease.kv;
    this.#openLeases -= 1;
    if (own !== 0) return;
    if (this.#allocated[slot] !== true) this.#reusable.push(slot);
    if (this.#idleWatch.size > 0) this.#tellIdle(slot);
  }

  #tellIdle(slot: number): void {
    const watchers = this.#idleWatch.get(slot);
    this.#idleWatch.delete(slot);
    for (const callback of watchers ?? []) callback();
  }

  #assertAllocated(slot: number): void {
    if (this.#allocated[slot] !== true) throw new RangeError(`No worker has slot ${String(slot)}`);
  }

  #reserve(slots: number): void {
    this.#capacity = slots;
    this.#own = resized(this.#own, slots);
    this.#mostOwn = resized(this.#mostOwn, slots);
    this.#kv = resized(this.#kv, slots);
    this.#external = resized(this.#external, slots);
    this.#externalAt = resized(this.#externalAt, slots);
    this.#running = resized(this.#running, slots);
    this.#rates.reserve(slots);
    this.#queues.reserve(slots);
  }
}

/** What a lease may do to the ledger. */
interface Book {
  firstToken(lease: BookedLease, uncachedTokens: number): void;
  grow(slot: number, tokens: number): void;
  close(lease: BookedLease): void;
}

class BookedLease implements Lease, QueuedPrompt {
  readonly slot: number;
  readonly generation: number;
  readonly stream: boolean;
  readonly prefill: number;
  readonly dispatchedAt: number;
  /** Tokens that the worker had to compute before this prompt. */
  ahead = 0;
  kv: number;
  queued = false;
  previous: QueuedPrompt | undefined = undefined;
  next: QueuedPrompt | undefined = undefined;
  readonly #book: Book;
  #begun = false;
  #open = true;

  constructor(book: Book, slot: number, generation: number, ask: LeaseAsk, now: number) {
    this.#book = book;
    this.slot = slot;
    this.generation = generation;
    this.stream = ask.stream;
    this.prefill = whole(ask.prefillTokens);
    this.kv = whole(ask.kvTokens);
    this.dispatchedAt = now;
  }

  firstToken(uncachedTokens: number): void {
    if (!this.stream || this.#begun || !this.#open) return;
    this.#begun = true;
    this.#book.firstToken(this, uncachedTokens);
  }

  tokens(count: number): void {
    if (!this.#open) return;
    const grown = whole(count);
    this.kv += grown;
    this.#book.grow(this.slot, grown);
  }

  release(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    this.#book.close(this);
    return true;
  }
}

function whole(tokens: number): number {
  return tokens > 0 ? Math.min(Math.round(tokens), MOST_TOKENS) : 0;
}
