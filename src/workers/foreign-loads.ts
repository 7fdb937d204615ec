import type { ThreadMemory } from '../base/thread-memory.ts';

/** What requests weigh on one worker. */
export interface WorkerLoad {
  /** Dispatched and not ended. */
  readonly running: number;
  /** Tokens of prompts that are still to be computed. */
  readonly prefillTokens: number;
  /** Tokens of KV cache that they are expected to hold. */
  readonly kvTokens: number;
}

const RUNNING = 0;
const PREFILL = 1;
const KV = 2;
const NUMBERS = 3;

/**
 * What the requests of other routers weigh on each worker, all of them together, by slot: control writes it, and every thread reads
 * it. Nobody else than those who say so knows of them, so it is as old as the last they said.
 */
export class ForeignLoads {
  readonly #memory: ThreadMemory;
  #numbers: Float64Array = new Float64Array(0);
  #totals = new Float64Array(0);
  /** One number: whether anything is in there. */
  readonly #any: Int32Array;

  constructor(memory: ThreadMemory) {
    this.#memory = memory;
    this.#any = new Int32Array(memory.region('ledger:foreign-any', 4));
  }

  reserve(slots: number): void {
    const bytes = 8 * NUMBERS * slots;
    const before = this.#numbers;
    if (this.#memory.rows > 1) this.#numbers = new Float64Array(this.#memory.region('ledger:foreign', bytes));
    else {
      this.#numbers = new Float64Array(NUMBERS * slots);
      this.#numbers.set(before);
    }
    this.#totals = new Float64Array(slots);
  }

  running(slot: number): number {
    return this.#numbers[NUMBERS * slot + RUNNING] ?? 0;
  }

  prefillTokens(slot: number): number {
    return this.#numbers[NUMBERS * slot + PREFILL] ?? 0;
  }

  kvTokens(slot: number): number {
    return this.#numbers[NUMBERS * slot + KV] ?? 0;
  }

  set(slot: number, { running, prefillTokens, kvTokens }: WorkerLoad): void {
    const at = NUMBERS * slot;
    this.#numbers[at + RUNNING] = running;
    this.#numbers[at + PREFILL] = prefillTokens;
    this.#numbers[at + KV] = kvTokens;
    if (running > 0) Atomics.store(this.#any, 0, 1);
  }

  /** The column of this router's own prompts with the others' added. The same array each time. */
  addPrefillTo(own: Float64Array, used: number): Float64Array {
    if (Atomics.load(this.#any, 0) === 0) return own;
    const totals = this.#totals;
    for (let slot = 0; slot < used; slot++)
      totals[slot] = own[slot]! + this.#numbers[NUMBERS * slot + PREFILL]!;
    return totals;
  }
}

export const NO_LOAD: WorkerLoad = { running: 0, prefillTokens: 0, kvTokens: 0 };
