import type { ThreadMemory } from '../base/thread-memory.ts';
import { BREAKER_STATE_CODES, type BreakerStateName } from './breaker.ts';
import { SHARED_SLOTS } from './ledger-columns.ts';

/** Trial requests of one worker at once, where several threads send them: more are not let through, whatever is configured. */
export const MOST_SHARED_TRIALS = 32;

const STATE_BITS = 2;
const STATES = Object.keys(BREAKER_STATE_CODES) as BreakerStateName[];
/** A place says in which epoch it was taken, as far as that fits, and by which row, counted from 1; 0 = by nobody. */
const OWNER_BITS = 8;
const OWNER_MASK = (1 << OWNER_BITS) - 1;
export const MOST_ROWS = OWNER_MASK;

/** State and epoch of a breaker: they change together. */
export type BreakerWord = number;

export function wordOf(state: BreakerStateName, epoch: number): BreakerWord {
  return (epoch << STATE_BITS) | BREAKER_STATE_CODES[state];
}

export function stateOf(word: BreakerWord): BreakerStateName {
  return STATES[word & ((1 << STATE_BITS) - 1)] ?? 'closed';
}

/** Of that many bits as fit; after that it begins anew. */
export function epochOf(word: BreakerWord): number {
  return word >>> STATE_BITS;
}

/** What the threads of one router know together of the breakers of their workers. */
export class BreakerCells {
  readonly #row: number;
  readonly #words: Int32Array;
  /** Failures that are being counted, by slot. */
  readonly #counted: Int32Array;
  readonly #places: Int32Array;
  readonly #openedAt: Float64Array;
  /** 0 = never. */
  readonly #failedAt: Float64Array;

  constructor(memory: ThreadMemory) {
    if (memory.rows > MOST_ROWS) throw new RangeError(`${memory.rows} threads; at most ${MOST_ROWS}`);
    this.#row = memory.self;
    const ints = (name: string, count: number): Int32Array =>
      new Int32Array(memory.region(`breakers:${name}`, count * Int32Array.BYTES_PER_ELEMENT));
    const times = (name: string): Float64Array =>
      new Float64Array(memory.region(`breakers:${name}`, SHARED_SLOTS * Float64Array.BYTES_PER_ELEMENT));
    this.#words = ints('words', SHARED_SLOTS);
    this.#counted = ints('counted', SHARED_SLOTS);
    this.#places = ints('trials', SHARED_SLOTS * MOST_SHARED_TRIALS);
    this.#openedAt = times('opened-at');
    this.#failedAt = times('failed-at');
  }

  word(slot: number): BreakerWord {
    return Atomics.load(this.#words, slot);
  }

  /** False, and nothing is done, where it is another one by now. */
  swap(slot: number, from: BreakerWord, to: BreakerWord): boolean {
    return Atomics.compareExchange(this.#words, slot, from, to) === from;
  }

  /** By control alone. Whoever sees the word sees the time as well. */
  publish(slot: number, word: BreakerWord, openedAt: number | undefined): void {
    if (openedAt !== undefined) this.#openedAt[slot] = openedAt;
    Atomics.store(this.#words, slot, word);
  }

  /** For a new worker: closed, and nothing has failed. */
  reset(slot: number, word: BreakerWord): void {
    this.#failedAt[slot] = 0;
    this.count(slot, 0);
    this.publish(slot, word, 0);
  }

  openedAt(slot: number): number {
    return this.#openedAt[slot] ?? 0;
  }

  failedAt(slot: number): number {
    const at = this.#failedAt[slot] ?? 0;
    return at === 0 ? Number.NEGATIVE_INFINITY : at;
  }

  /** By any thread: of two failures at a time, either may be the last. */
  failed(slot: number, now: number): void {
    this.#failedAt[slot] = now;
  }

  counted(slot: number): number {
    return Atomics.load(this.#counted, slot);
  }

  count(slot: number, failures: number): void {
    Atomics.store(this.#counted, slot, failures);
  }

  /** Whether one of the first `most` trial places is free. */
  hasTrial(slot: number, epoch: number, most: number): boolean {
    const first = slot * MOST_SHARED_TRIALS;
    const end = first + Math.min(most, MOST_SHARED_TRIALS);
    for (let place = first; place < end; place++)
      if (isFree(Atomics.load(this.#places, place), epoch)) return true;
    return false;
  }

  /** Takes one of the first `most` trial places of this epoch: which one, or -1 where all are taken. */
  takeTrial(slot: number, epoch: number, most: number): number {
    const first = slot * MOST_SHARED_TRIALS;
    const end = first + Math.min(most, MOST_SHARED_TRIALS);
    const mine = this.#mine(epoch);
    for (let place = first; place < end; place++) {
      let found = Atomics.load(this.#places, place);
      while (isFree(found, epoch)) {
        const before = Atomics.compareExchange(this.#places, place, found, mine);
        if (before === found) return place;
        found = before;
      }
    }
    return -1;
  }

  /** Does nothing where the place is another's by now: that of a later epoch. */
  giveTrial(place: number, epoch: number): void {
    Atomics.compareExchange(this.#places, place, this.#mine(epoch), 0);
  }

  /** The thread of this row has ended: the trials that it carried out are over. */
  reclaim(row: number): void {
    for (let slot = 0; slot < SHARED_SLOTS; slot++) {
      // Those of another state are of an earlier epoch than the next half-open one, and free by that.
      if (stateOf(this.word(slot)) !== 'half_open') continue;
      const first = slot * MOST_SHARED_TRIALS;
      for (let place = first; place < first + MOST_SHARED_TRIALS; place++) {
        const found = Atomics.load(this.#places, place);
        if ((found & OWNER_MASK) === row + 1) Atomics.compareExchange(this.#places, place, found, 0);
      }
    }
  }

  #mine(epoch: number): number {
    return (epoch << OWNER_BITS) | (this.#row + 1);
  }
}

/** Taken by nobody, or in an earlier epoch. One that a later epoch has taken is not to be had by who is late. */
function isFree(place: number, epoch: number): boolean {
  return (place & OWNER_MASK) === 0 || (((place & ~OWNER_MASK) - (epoch << OWNER_BITS)) | 0) < 0;
}
