import type { ForeignLoads } from './foreign-loads.ts';
import { resized } from './prefill-rates.ts';
import type { Rates } from './prefill-rates.ts';

/** A dispatched prompt that the worker has not computed yet, linked into the queue of its slot. */
export interface QueuedPrompt {
  readonly slot: number;
  /** Whole tokens to compute. */
  readonly prefill: number;
  /** Streams show their first token; the others' progress is reckoned. */
  readonly stream: boolean;
  queued: boolean;
  previous: QueuedPrompt | undefined;
  next: QueuedPrompt | undefined;
  /** Where it ends in the line of all threads, in tokens; for `SharedPrefillQueues`. */
  end: number;
}

/**
 * The prompts each worker has still to compute, in order of dispatch: vLLM schedules first come, first served, with
 * all of a step's token budget to the oldest prompt. So the first of the queue advances at the worker's rate. A stream
 * that should be done by now stays until its first token shows that it is; what is not streamed is then taken as done.
 */
export interface PromptQueues {
  reserve(slots: number): void;
  /** Whether `outstanding` depends on the time. */
  moves(slot: number): boolean;
  /** Tokens whose first token has not come (streams, in full) or that are not yet computed (the others). */
  outstanding(slot: number, now: number): number;
  /** `outstanding` of all slots, in whole tokens. */
  column(now: number): Float64Array;
  /** Tokens still to be computed, the progress of a stream at the front deducted. */
  remaining(slot: number, now: number): number;
  push(prompt: QueuedPrompt, now: number): void;
  /** Does nothing for a prompt that is not, or no longer, queued. */
  remove(prompt: QueuedPrompt, now: number): void;
}

const NO_OTHERS = { prefillTokens: () => 0 };

/** The part of a worker's speed that `own` tokens get beside those which other routers have in line there. */
export function shareOf(own: number, foreign: number): number {
  return foreign === 0 ? 1 : own / (own + foreign);
}

/**
 * The queues of a router with one thread. Brought up to date when looked at. Sums are of whole tokens, hence exactly 0 for an
 * empty queue.
 */
export class PrefillQueues implements PromptQueues {
  readonly #rates: Rates;
  readonly #foreign: Pick<ForeignLoads, 'prefillTokens'>;
  /** Tokens of all queued prompts, each in full. */
  #queued = new Float64Array(0);
  /** Tokens of the first prompt computed up to `#settledAt`, fractional, at most all of it. */
  #computed = new Float64Array(0);
  #settledAt = new Float64Array(0);
  readonly #first: (QueuedPrompt | undefined)[] = [];
  readonly #last: (QueuedPrompt | undefined)[] = [];
  /** Whole tokens outstanding, of slots that do not move. */
  #outstanding = new Float64Array(0);
  /** The slots that move, and the place of each among them, from 1. */
  readonly #moving: number[] = [];
  #placeOf = new Int32Array(0);

  constructor(rates: Rates, foreign: Pick<ForeignLoads, 'prefillTokens'> = NO_OTHERS) {
    this.#rates = rates;
    this.#foreign = foreign;
  }

  reserve(slots: number): void {
    this.#queued = resized(this.#queued, slots);
    this.#computed = resized(this.#computed, slots);
    this.#settledAt = resized(this.#settledAt, slots);
    this.#outstanding = resized(this.#outstanding, slots);
    const places = new Int32Array(slots);
    places.set(this.#placeOf);
    this.#placeOf = places;
    while (this.#first.length < slots) {
      this.#first.push(undefined);
      this.#last.push(undefined);
    }
  }

  moves(slot: number): boolean {
    const first = this.#first[slot];
    return first !== undefined && !first.stream;
  }

  outstanding(slot: number, now: number): number {
    if (this.moves(slot)) this.#settle(slot, now);
    const queued = this.#queued[slot] ?? 0;
    return this.moves(slot) ? queued - (this.#computed[slot] ?? 0) : queued;
  }

  /** Only those that move need to be looked at. */
  column(now: number): Float64Array {
    // Whoever is found to stand still gives its place to the last, which has been looked at already.
    for (let at = this.#moving.length - 1; at >= 0; at--) {
      const slot = this.#moving[at]!;
      this.#outstanding[slot] = Math.ceil(this.outstanding(slot, now));
    }
    return this.#outstanding;
  }

  remaining(slot: number, now: number): number {
    this.#settle(slot, now);
    return (this.#queued[slot] ?? 0) - (this.#computed[slot] ?? 0);
  }

  push(prompt: QueuedPrompt, now: number): void {
    if (prompt.prefill === 0) return;
    const { slot } = prompt;
    const last = this.#last[slot];
    if (last === undefined) {
      this.#first[slot] = prompt;
      this.#settledAt[slot] = now;
    } else {
      last.next = prompt;
      prompt.previous = last;
    }
    this.#last[slot] = prompt;
    this.#queued[slot] = (this.#queued[slot] ?? 0) + prompt.prefill;
    prompt.queued = true;
    this.#note(slot);
  }

  remove(prompt: QueuedPrompt, now: number): void {
    if (!prompt.queued) return;
    this.#settle(prompt.slot, now);
    // Settling may have found it computed.
    if (prompt.queued) this.#unlink(prompt);
  }

  #settle(slot: number, now: number): void {
    let first = this.#first[slot];
    if (first === undefined) return;
    const elapsedMs = now - (this.#settledAt[slot] ?? 0);
    if (elapsedMs <= 0) return;
    this.#settledAt[slot] = now;
    const before = this.#computed[slot] ?? 0;
    const share = shareOf((this.#queued[slot] ?? 0) - before, this.#foreign.prefillTokens(slot));
    let computed = before + (elapsedMs * share * this.#rates.rate(slot)) / 1000;
    while (first !== undefined && computed >= first.prefill) {
      if (first.stream) {
        computed = first.prefill;
        break;
      }
      computed -= first.prefill;
      this.#unlink(first);
      first = this.#first[slot];
    }
    this.#computed[slot] = first === undefined ? 0 : computed;
  }

  #unlink(prompt: QueuedPrompt): void {
    const { slot, previous, next } = prompt;
    if (previous === undefined) {
      this.#first[slot] = next;
      this.#computed[slot] = 0;
    } else {
      previous.next = next;
    }
    if (next === undefined) this.#last[slot] = previous;
    else next.previous = previous;
    prompt.previous = undefined;
    prompt.next = undefined;
    prompt.queued = false;
    this.#queued[slot] = (this.#queued[slot] ?? 0) - prompt.prefill;
    this.#note(slot);
  }

  /** Its queue is another one. */
  #note(slot: number): void {
    const place = this.#placeOf[slot]!;
    if (this.moves(slot)) {
      if (place === 0) this.#placeOf[slot] = this.#moving.push(slot);
      return;
    }
    this.#outstanding[slot] = this.#queued[slot]!;
    if (place === 0) return;
    const last = this.#moving.pop()!;
    this.#placeOf[slot] = 0;
    if (last === slot) return;
    this.#moving[place - 1] = last;
    this.#placeOf[last] = place;
  }
}
