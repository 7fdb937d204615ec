import type { Clock } from '../base/clock.ts';
import { aloneInRouter, type ThreadPart } from '../base/thread-part.ts';
import type { LoadColumns, LoadView } from '../routing/policy.ts';
import { IdleWatch } from './idle-watch.ts';
import { BookedLease, NO_BOOK, whole, type Book, type Lease, type LeaseAsk } from './lease.ts';
import { ForeignLoads, NO_LOAD, type WorkerLoad } from './foreign-loads.ts';
import { LedgerColumns, SHARED_SLOTS } from './ledger-columns.ts';
import { LedgerSums } from './ledger-sums.ts';
import { LedgerSlots, type SlotId } from './ledger-slots.ts';
import { PrefillQueues, type PromptQueues } from './prefill-queues.ts';
import { PrefillRates, resized, type Rates, type Seen } from './prefill-rates.ts';
import { eachSample, PREFILL_SAMPLES, ReportedRates } from './reported-rates.ts';
import { SharedPrefillQueues } from './shared-prefill-queues.ts';

export type { Lease, LeaseAsk } from './lease.ts';
export type { SlotId } from './ledger-slots.ts';

/**
 * The load of every worker as this router caused it, exact at every instant: flat counters of whole numbers, indexed by slot,
 * written at dispatch, first token and end. Polled metrics only add what others cause.
 *
 * Of several threads each has a row of counters that it alone writes; whoever asks gets the sum of all rows. Control gives out
 * slots, learns rates and hears of others' load; request threads take leases.
 */
export class LoadLedger implements LoadView {
  readonly #clock: Clock;
  readonly #columns: LedgerColumns;
  /** What other routers that share their load with this one have there. */
  readonly #foreign: ForeignLoads;
  readonly #slots: LedgerSlots;
  readonly #rates: Rates;
  /** The same, where they are learnt. */
  readonly #learnt: PrefillRates | undefined;
  readonly #queues: PromptQueues;
  readonly #idle: IdleWatch;
  /** Where there are several threads. */
  readonly #sums: LedgerSums | undefined;
  readonly #self: number;
  /** This thread's rows. */
  #own: Int32Array = new Int32Array(0);
  #kv: Float64Array = new Float64Array(0);
  #most: Int32Array = new Int32Array(0);
  #externalTtlMs = 30_000;
  /** When the load of others was reported. */
  #externalAt = new Float64Array(0);
  /** Of one thread alone: reports of others' load may be too old from then on. */
  #externalGoodUntil = Infinity;
  /** Of one thread alone: own, foreign and external together. */
  #running = new Float64Array(0);
  readonly #book: Book = {
    firstToken: (lease, uncachedTokens) => {
      this.#firstToken(lease, uncachedTokens);
    },
    grow: (slot, tokens) => {
      this.#kv[slot]! += tokens;
    },
    close: (lease) => {
      this.#close(lease);
    },
  };

  constructor(clock: Clock, options: { readonly defaultRate?: number; readonly part?: ThreadPart } = {}) {
    const part = options.part ?? aloneInRouter();
    this.#clock = clock;
    this.#columns = new LedgerColumns(part.memory);
    this.#foreign = new ForeignLoads(part.memory);
    this.#slots = new LedgerSlots(this.#columns, part.kind !== 'request');
    this.#idle = new IdleWatch(this.#columns, part);
    this.#self = part.memory.self;
    const { shared } = this.#columns;
    const rates = shared ? new Float64Array(part.memory.region('ledger:rates', 8 * SHARED_SLOTS)) : undefined;
    if (part.kind === 'request' && rates)
      this.#rates = new ReportedRates(rates, { channel: part.channel, clock });
    else this.#rates = this.#learnt = new PrefillRates(options.defaultRate ?? 8000, rates);
    const line = shared ? new SharedPrefillQueues(part.memory, this.#rates, this.#foreign) : undefined;
    this.#queues = line ?? new PrefillQueues(this.#rates, this.#foreign);
    this.#sums = line && new LedgerSums(part.memory, this.#columns, { queues: line, foreign: this.#foreign });
    this.#reserve();
    if (part.kind === 'control' && line) this.#attend(part, line);
  }

  /** Leases not yet released, over all slots and threads. */
  get openLeases(): number {
    return this.#columns.leases.reduce((sum, leases) => sum + leases, 0);
  }

  /** Those that were taken in this thread. */
  get openLeasesHere(): number {
    return this.#columns.leases[this.#self]!;
  }

  /** Throws a `RangeError` where several threads have no room for more workers. */
  allocate(): SlotId {
    const given = this.#slots.allocate();
    if (this.#running.length < this.#columns.slots) this.#reserve();
    return given;
  }

  /** The worker left. What was learnt of it is forgotten; the slot is given away again once its leases are back. */
  free(slot: number): void {
    this.#slots.free(slot);
    this.#learnt?.forget(slot);
    this.#publishRates();
    this.#columns.external[slot] = 0;
    this.setForeign(slot, NO_LOAD);
  }

  /** In a request thread: control has given the slot to a worker. */
  adopt(slot: number, generation: number): void {
    this.#slots.adopt(slot, generation);
  }

  /** In a request thread: the worker of the slot left. */
  left(slot: number): void {
    this.#slots.forget(slot);
  }

  /** Books a request at the moment of its dispatch. Throws a `RangeError` for a slot that no worker has. */
  acquire(slot: number, ask: LeaseAsk): Lease {
    const generation = this.#slots.generation(slot);
    if (generation === 0) this.#slots.assertTaken(slot);
    const now = this.#clock.now();
    const mine = this.#own[slot]! + 1;
    if (!this.#sums) this.#own[slot] = mine;
    else if (!this.#count(slot, mine, generation))
      return new BookedLease(NO_BOOK, slot, generation, ask, now);
    const lease = new BookedLease(this.#book, slot, generation, ask, now);
    if (lease.stream) lease.ahead = this.#ahead(slot, now);
    this.#queues.push(lease, now);
    const all = (this.#sums ? this.own(slot) : mine) + this.#foreign.running(slot);
    if (all > this.#most[slot]!) this.#most[slot] = all;
    this.#running[slot]! += 1;
    this.#kv[slot]! += lease.kv;
    this.#columns.leases[this.#self]! += 1;
    this.#sums?.changed(slot);
    return lease;
  }

  /** Calls back once, when no lease is out on the slot; at once where none is. Returns what withdraws the wish. */
  whenIdle(slot: number, callback: () => void): () => void {
    return this.#idle.add(slot, callback);
  }

  running(slot: number): number {
    return this.known(slot) + this.#externalOf(slot);
  }

  /** Requests of this router alone. */
  own(slot: number): number {
    let sum = 0;
    for (const own of this.#columns.own) sum += own[slot] ?? 0;
    return sum;
  }

  /** And of the routers that share their load with it. */
  known(slot: number): number {
    return this.own(slot) + this.#foreign.running(slot);
  }

  /** The most of these at a time since `watchKnown`. */
  mostKnown(slot: number): number {
    return this.#most[slot] ?? 0;
  }

  /** A report of the engine has been asked for: nobody can tell at which moment until its coming it will be true. */
  watchKnown(slot: number): void {
    this.#most[slot] = this.known(slot);
  }

  /** What this router alone has there: others are told of it. */
  ownLoad(slot: number, now: number): WorkerLoad {
    let kvTokens = 0;
    for (const kv of this.#columns.kv) kvTokens += kv[slot] ?? 0;
    const prefillTokens = Math.ceil(this.#queues.outstanding(slot, now));
    return { running: this.own(slot), prefillTokens, kvTokens };
  }

  /** What this router alone has seen of the worker's speed: others learn from it. */
  seenHere(slot: number): Seen {
    return this.#learnt?.seen(slot) ?? { tokens: 0, ms: 0 };
  }

  /** In control: another router has seen so much of it. */
  learnFromOthers(slot: number, { tokens, ms }: Seen): void {
    this.#learnt?.learnFromOthers(slot, tokens, ms);
    this.#publishRates();
  }

  /** In control: so much have other routers there, all of them together. */
  setForeign(slot: number, load: WorkerLoad): void {
    // Until now prompts have advanced beside what was there before.
    this.#queues.remaining(slot, this.#clock.now());
    this.#foreign.set(slot, load);
    const known = this.known(slot);
    if (known > this.#most[slot]!) this.#most[slot] = known;
    this.#running[slot] = known + this.#columns.external[slot]!;
    this.#sums?.changed(slot);
  }

  /** `now` is for who has just looked at the clock. */
  prefillTokens(slot: number, now = this.#queues.moves(slot) ? this.#clock.now() : 0): number {
    return Math.ceil(this.#queues.outstanding(slot, now)) + this.#foreign.prefillTokens(slot);
  }

  kvTokens(slot: number): number {
    let sum = this.#foreign.kvTokens(slot);
    for (const kv of this.#columns.kv) sum += kv[slot] ?? 0;
    return sum;
  }

  prefillRate(slot: number): number {
    return this.#rates.rate(slot);
  }

  /** One thread has them up to date, but for what time alone changes; several add their rows. */
  columns(): LoadColumns {
    const now = this.#clock.now();
    const prefillRate = this.#rates.column();
    if (this.#sums) return { ...this.#sums.at(now, this.#slots.used), prefillRate };
    this.#forgetOld(now);
    const prefillTokens = this.#foreign.addPrefillTo(this.#queues.column(now), this.#slots.used);
    return { running: this.#running, prefillTokens, prefillRate };
  }

  /** Time from now to the first token of a prompt that needs `uncachedTokens` computed, ms. */
  predictedTtftMs(slot: number, uncachedTokens: number): number {
    return ((this.prefillTokens(slot) + uncachedTokens) / this.prefillRate(slot)) * 1000;
  }

  /**
   * What the engine itself reports: `reported` requests running or waiting there at `at` (`clock.now()`), `known` of which
   * were this router's, or of others that share their load, at that time: a report that is compared with what we have there by now would make others' load of
   * our own that has ended since. What goes beyond them is added to `running` until a newer report, or until it is too old.
   */
  setExternal(slot: number, reported: number, known: number, at: number): void {
    if (this.#slots.generation(slot) === 0) return;
    const external = Math.max(0, whole(reported) - known);
    const until = at + this.#externalTtlMs;
    this.#externalAt[slot] = at;
    this.#columns.externalUntil[slot] = until;
    this.#columns.external[slot] = external;
    this.#running[slot] = this.known(slot) + external;
    if (external > 0) this.#externalGoodUntil = Math.min(this.#externalGoodUntil, until);
    this.#sums?.changed(slot);
  }

  /** Reports are forgotten when older than this; three polling periods. */
  setExternalTtl(ms: number): void {
    if (ms === this.#externalTtlMs) return;
    this.#externalTtlMs = ms;
    this.#externalGoodUntil = -Infinity;
    for (let slot = 0; slot < this.#slots.used; slot++)
      this.#columns.externalUntil[slot] = this.#externalAt[slot]! + ms;
    this.#sums?.changedAll();
  }

  /** NaN where nobody knows to the token: what others have in line is as old as the last they said, and nothing is learnt from that. */
  #ahead(slot: number, now: number): number {
    return this.#foreign.prefillTokens(slot) > 0 ? NaN : this.#queues.remaining(slot, now);
  }

  /** False, and not counted, where the slot is another worker's by now. Counted first, looked then: see `LedgerSlots`. */
  #count(slot: number, mine: number, generation: number): boolean {
    Atomics.store(this.#own, slot, mine);
    if (Atomics.load(this.#columns.generations, slot) === generation) return true;
    Atomics.store(this.#own, slot, mine - 1);
    this.#sums?.changed(slot);
    return false;
  }

  #externalOf(slot: number): number {
    const external = this.#columns.external[slot] ?? 0;
    return external > 0 && this.#clock.now() <= this.#columns.externalUntil[slot]! ? external : 0;
  }

  #forgetOld(now: number): void {
    if (now <= this.#externalGoodUntil) return;
    let goodUntil = Infinity;
    const { external, externalUntil } = this.#columns;
    for (let slot = 0; slot < this.#slots.used; slot++) {
      if (external[slot] === 0) continue;
      const until = externalUntil[slot]!;
      if (now > until) {
        external[slot] = 0;
        this.#running[slot] = this.known(slot);
      } else goodUntil = Math.min(goodUntil, until);
    }
    this.#externalGoodUntil = goodUntil;
  }

  #firstToken(lease: BookedLease, uncachedTokens: number): void {
    const now = this.#clock.now();
    const { slot, generation } = lease;
    this.#queues.remove(lease, now);
    this.#sums?.changed(slot);
    if (this.#slots.generation(slot) !== generation) return;
    this.#rates.learn(slot, lease.ahead + whole(uncachedTokens), now - lease.dispatchedAt, generation);
  }

  #close(lease: BookedLease): void {
    const { slot } = lease;
    if (lease.queued) this.#queues.remove(lease, this.#clock.now());
    const left = this.#own[slot]! - 1;
    this.#kv[slot]! -= lease.kv;
    this.#running[slot]! -= 1;
    this.#columns.leases[this.#self]! -= 1;
    if (this.#sums) {
      Atomics.store(this.#own, slot, left);
      this.#sums.changed(slot);
    } else this.#own[slot] = left;
    if (left === 0) this.#idle.left(slot);
  }

  #attend({ channels }: ThreadPart & { readonly kind: 'control' }, line: SharedPrefillQueues): void {
    channels.on(PREFILL_SAMPLES, (_, samples) => {
      eachSample(samples, (slot, tokens, elapsedMs, generation) => {
        if (this.#slots.generation(slot) === generation) this.#learnt?.learn(slot, tokens, elapsedMs);
      });
      this.#publishRates();
    });
    // Its requests have died with it.
    channels.onEnded((row) => {
      this.#columns.reclaim(row);
      line.reclaim(row, this.#clock.now());
      this.#sums?.changedAll();
      this.#idle.lookAtAll();
    });
  }

  /** The others read them as they lie there. */
  #publishRates(): void {
    if (this.#sums) this.#rates.column();
  }

  #reserve(): void {
    const { slots, own, kv, most } = this.#columns;
    this.#own = own[this.#self]!;
    this.#kv = kv[this.#self]!;
    this.#most = most;
    this.#foreign.reserve(slots);
    this.#running = resized(this.#running, slots);
    this.#externalAt = resized(this.#externalAt, slots);
    this.#learnt?.reserve(slots);
    this.#queues.reserve(slots);
  }
}
