import type { ThreadMemory } from '../base/thread-memory.ts';

/** Slots of a router with several threads. One thread alone has as many as it needs. */
export const SHARED_SLOTS = 4096;
const FIRST_SLOTS = 16;

/** What the ledger counts, by slot. Where threads share it each has rows of its own, and control alone writes the rest. */
export class LedgerColumns {
  /** How many slots there is room for. */
  slots = 0;
  /** Requests dispatched and not ended, by thread. */
  own: readonly Int32Array[] = [];
  /** Tokens of KV cache that they are expected to hold, by thread. */
  kv: readonly Float64Array[] = [];
  /** One number per thread, over all slots. */
  readonly leases: Int32Array;
  /** Requests that the engine has from others, and until when that is believed. */
  external: Float64Array = new Float64Array();
  externalUntil: Float64Array = new Float64Array();
  /** How many workers have had the slot; the last of them has it, or had it. */
  generations: Int32Array = new Int32Array();
  /** 1: control wants to know when the last request has ended. */
  watched: Int32Array = new Int32Array();
  /**
   * The most requests of all threads together, since control looked. All of them write it: where two do so at once the higher
   * number may be lost, which makes one of ours look like another router's until the next look.
   */
  most: Int32Array = new Int32Array();
  readonly #memory: ThreadMemory;

  constructor(memory: ThreadMemory) {
    this.#memory = memory;
    this.leases = new Int32Array(memory.region('ledger:leases', 4 * memory.rows));
    this.#reserve(this.shared ? SHARED_SLOTS : FIRST_SLOTS);
  }

  get shared(): boolean {
    return this.#memory.rows > 1;
  }

  get self(): number {
    return this.#memory.self;
  }

  /** Room for twice as many, or false: shared memory does not grow. */
  grow(): boolean {
    if (this.shared) return false;
    this.#reserve(2 * this.slots);
    return true;
  }

  /** Requests of all threads. */
  owned(slot: number): number {
    let sum = 0;
    for (const row of this.own) sum += slot < row.length ? Atomics.load(row, slot) : 0;
    return sum;
  }

  /** A thread has died: nothing is its own any more. */
  reclaim(row: number): void {
    this.own[row]?.fill(0);
    this.kv[row]?.fill(0);
    this.leases[row] = 0;
  }

  #reserve(slots: number): void {
    const rows = Array.from({ length: this.#memory.rows }, (_, row) => row);
    this.own = rows.map((row) => this.#counts(`own:${row}`, slots, this.own[row]));
    this.kv = rows.map((row) => this.#numbers(`kv:${row}`, slots, this.kv[row]));
    this.external = this.#numbers('external', slots, this.external);
    this.externalUntil = this.#numbers('external-until', slots, this.externalUntil);
    this.generations = this.#counts('generations', slots, this.generations);
    this.watched = this.#counts('watched', slots, this.watched);
    this.most = this.#counts('most', slots, this.most);
    this.slots = slots;
  }

  #counts(name: string, slots: number, before: ArrayLike<number> = []): Int32Array {
    if (this.shared) return new Int32Array(this.#memory.region(`ledger:${name}`, 4 * slots));
    const column = new Int32Array(slots);
    column.set(before);
    return column;
  }

  #numbers(name: string, slots: number, before: ArrayLike<number> = []): Float64Array {
    if (this.shared) return new Float64Array(this.#memory.region(`ledger:${name}`, 8 * slots));
    const column = new Float64Array(slots);
    column.set(before);
    return column;
  }
}
