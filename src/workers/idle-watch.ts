import type { Channels, MessageKind, QuestionKind } from '../base/channel.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { LedgerColumns } from './ledger-columns.ts';

/** From a request thread: it has no more requests on this slot, which is watched. */
export const SLOT_IDLE: MessageKind<number> = { name: 'slot-idle' };
/** To a request thread: whether it has heard all that was posted before. */
export const HEARD_ALL: QuestionKind<undefined, true> = { name: 'heard-all' };

interface Watch {
  readonly callbacks: Set<() => void>;
  /** How often threads have still to say that they have heard why the slot is watched. */
  unheard: number;
}

/**
 * Who wants to know when the last request on a slot has ended. Control sets the flag of the slot and looks at the counts then; a
 * request thread lowers its count and looks at the flag then. So one of them sees it, whatever happens at the same time.
 */
export class IdleWatch {
  readonly #part: ThreadPart;
  readonly #columns: LedgerColumns;
  readonly #watches = new Map<number, Watch>();

  constructor(columns: LedgerColumns, part: ThreadPart) {
    this.#columns = columns;
    this.#part = part;
    if (part.kind === 'request') part.channel.answer(HEARD_ALL, () => true);
    if (part.kind === 'control')
      part.channels.on(SLOT_IDLE, (_, slot) => {
        this.#look(slot);
      });
  }

  /**
   * Calls back once, when no lease is out on the slot and every thread has heard what control did before: a worker that drains
   * may be given a request by one that has not. At once, where there is one thread and no lease. Returns what withdraws the wish.
   */
  add(slot: number, callback: () => void): () => void {
    if (this.#part.kind === 'request') throw new Error('control watches for the last request');
    const watch = this.#watches.get(slot) ?? { callbacks: new Set(), unheard: 0 };
    watch.callbacks.add(callback);
    this.#watches.set(slot, watch);
    if (this.#part.kind === 'control') void this.#whenHeard(slot, watch, this.#part.channels);
    else this.#look(slot);
    return () => {
      if (!watch.callbacks.delete(callback) || watch.callbacks.size > 0) return;
      // Others may watch it by now.
      if (this.#watches.get(slot) === watch) this.#forget(slot);
    };
  }

  /** This thread has none left on the slot. */
  left(slot: number): void {
    if (this.#part.kind !== 'request') {
      if (this.#watches.size > 0) this.#look(slot);
    } else if (Atomics.load(this.#columns.watched, slot) !== 0) this.#part.channel.post(SLOT_IDLE, slot);
  }

  /** The counts of a thread were taken back. */
  lookAtAll(): void {
    for (const slot of [...this.#watches.keys()]) this.#look(slot);
  }

  async #whenHeard(slot: number, watch: Watch, channels: Channels): Promise<void> {
    watch.unheard += 1;
    Atomics.store(this.#columns.watched, slot, 1);
    const heard = [...channels.rows].map(async (row) => {
      await channels.to(row)?.ask(HEARD_ALL, undefined);
    });
    // Who has died meanwhile gives nobody a request.
    await Promise.allSettled(heard);
    watch.unheard -= 1;
    if (this.#watches.get(slot) === watch) this.#look(slot);
  }

  #look(slot: number): void {
    const watch = this.#watches.get(slot);
    if (!watch || watch.unheard > 0 || this.#columns.owned(slot) !== 0) return;
    this.#forget(slot);
    for (const callback of watch.callbacks) callback();
  }

  #forget(slot: number): void {
    this.#watches.delete(slot);
    if (this.#columns.shared) Atomics.store(this.#columns.watched, slot, 0);
  }
}
