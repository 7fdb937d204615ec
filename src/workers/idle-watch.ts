import type { MessageKind } from '../base/channel.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { LedgerColumns } from './ledger-columns.ts';

/** From a request thread: it has no more requests on this slot, which is watched. */
export const SLOT_IDLE: MessageKind<number> = { name: 'slot-idle' };

/**
 * Who wants to know when the last request on a slot has ended. Control sets the flag of the slot and looks at the counts then; a
 * request thread lowers its count and looks at the flag then. So one of them sees it, whatever happens at the same time.
 */
export class IdleWatch {
  readonly #part: ThreadPart;
  readonly #columns: LedgerColumns;
  readonly #watchers = new Map<number, Set<() => void>>();

  constructor(columns: LedgerColumns, part: ThreadPart) {
    this.#columns = columns;
    this.#part = part;
    if (part.kind === 'control')
      part.channels.on(SLOT_IDLE, (_, slot) => {
        this.#look(slot);
      });
  }

  /** Calls back once, when no lease is out on the slot; at once where none is. Returns what withdraws the wish. */
  add(slot: number, callback: () => void): () => void {
    if (this.#part.kind === 'request') throw new Error('control watches for the last request');
    if (this.#columns.shared) Atomics.store(this.#columns.watched, slot, 1);
    const watchers = this.#watchers.get(slot) ?? new Set();
    this.#watchers.set(slot, watchers.add(callback));
    this.#look(slot);
    return () => {
      if (!watchers.delete(callback) || watchers.size > 0) return;
      // Others may watch it by now.
      if (this.#watchers.get(slot) === watchers) this.#forget(slot);
    };
  }

  /** This thread has none left on the slot. */
  left(slot: number): void {
    if (this.#part.kind !== 'request') {
      if (this.#watchers.size > 0) this.#look(slot);
    } else if (Atomics.load(this.#columns.watched, slot) !== 0) this.#part.channel.post(SLOT_IDLE, slot);
  }

  /** The counts of a thread were taken back. */
  lookAtAll(): void {
    for (const slot of [...this.#watchers.keys()]) this.#look(slot);
  }

  #look(slot: number): void {
    const watchers = this.#watchers.get(slot);
    if (!watchers || this.#columns.owned(slot) !== 0) return;
    this.#forget(slot);
    for (const callback of watchers) callback();
  }

  #forget(slot: number): void {
    this.#watchers.delete(slot);
    if (this.#columns.shared) Atomics.store(this.#columns.watched, slot, 0);
  }
}
