import type { ThreadMemory } from '../base/thread-memory.ts';
import type { LoadColumns } from '../routing/policy.ts';
import { LedgerChanges } from './ledger-changes.ts';
import type { ForeignLoads } from './foreign-loads.ts';
import { SHARED_SLOTS, type LedgerColumns } from './ledger-columns.ts';
import type { SharedPrefillQueues } from './shared-prefill-queues.ts';

/**
 * The sums over the rows of all threads, slot by slot, as one thread keeps them. To add up all rows for every choice would cost
 * as much as the choice: only slots at which some thread changed something are added up anew.
 */
export class LedgerSums {
  readonly #columns: LedgerColumns;
  readonly #queues: SharedPrefillQueues;
  readonly #foreign: ForeignLoads;
  readonly #changes: LedgerChanges;
  readonly #running = new Float64Array(SHARED_SLOTS);
  /** Reports of others' load may be too old from then on. */
  #goodUntil = Infinity;
  #now = 0;
  readonly #addUp = (slot: number): void => {
    const others = this.#columns.external[slot]!;
    const until = this.#columns.externalUntil[slot]!;
    let sum = this.#foreign.running(slot);
    for (const row of this.#columns.own) sum += row[slot]!;
    if (others > 0 && this.#now <= until) {
      sum += others;
      if (until < this.#goodUntil) this.#goodUntil = until;
    }
    this.#running[slot] = sum;
    this.#queues.note(slot);
  };

  constructor(
    memory: ThreadMemory,
    columns: LedgerColumns,
    beside: { readonly queues: SharedPrefillQueues; readonly foreign: ForeignLoads },
  ) {
    this.#columns = columns;
    this.#queues = beside.queues;
    this.#foreign = beside.foreign;
    this.#changes = new LedgerChanges(memory);
  }

  /** This thread has written something at the slot. */
  changed(slot: number): void {
    this.#changes.note(slot);
  }

  /** And here at any of them. */
  changedAll(): void {
    this.#changes.noteAll();
  }

  /** Up to date at `now`, for the first `used` slots. */
  at(now: number, used: number): Pick<LoadColumns, 'running' | 'prefillTokens'> {
    this.#now = now;
    if (!this.#changes.drain(this.#addUp) || now > this.#goodUntil) {
      this.#goodUntil = Infinity;
      for (let slot = 0; slot < used; slot++) this.#addUp(slot);
    }
    const prefillTokens = this.#foreign.addPrefillTo(this.#queues.column(now), used);
    return { running: this.#running, prefillTokens };
  }
}
