import type { Channels } from '../base/channel.ts';
import type { Places } from '../base/places.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { Admission } from './admission.ts';
import {
  ANSWERED,
  ASKING,
  Call,
  FINISHED,
  FREED,
  GONE,
  openWaiting,
  type Asking,
} from './admission-messages.ts';
import type { Ticket, Waiting, WaitOutcome } from './door.ts';

/** What control knows of one thread: who waits in it, and who was let in after a wait; by their numbers. */
interface Asker {
  readonly waiting: Map<number, Waiting>;
  readonly tickets: Map<number, Ticket>;
}

/** Stands in control's queue for the requests of the other threads. */
export class AskingThreads {
  readonly #admission: Admission;
  readonly #channels: Channels;
  readonly #waiting: Places;
  readonly #call: Call;
  readonly #askers = new Map<number, Asker>();

  constructor(
    admission: Admission,
    { channels, memory }: { readonly channels: Channels; readonly memory: ThreadMemory },
  ) {
    this.#admission = admission;
    this.#channels = channels;
    this.#waiting = openWaiting(memory);
    this.#call = new Call(memory);
    channels.on(ASKING, (row, asking) => {
      this.#onAsking(row, asking);
    });
    channels.on(GONE, (row, { id }) => {
      this.#askers.get(row)?.waiting.get(id)?.leave();
    });
    channels.on(FINISHED, (row, { id, tokens }) => {
      const { tickets } = this.#askerOf(row);
      const ticket = tickets.get(id);
      tickets.delete(id);
      if (tokens !== undefined) ticket?.settle(tokens);
      ticket?.release();
    });
    channels.on(FREED, () => {
      this.#look();
    });
    channels.onEnded((row) => {
      this.#onEnded(row);
    });
  }

  #onAsking(row: number, { id, flow, priority, tokens }: Asking): void {
    const entry = this.#admission.enter({ flow, priority, tokens: () => tokens }, row);
    if (entry.kind !== 'waiting') {
      this.#answer(row, id, entry);
      return;
    }
    const asker = this.#askerOf(row);
    asker.waiting.set(id, entry);
    void entry.wait.then((outcome) => {
      // Else the thread has died meanwhile.
      if (asker.waiting.delete(id)) this.#answer(row, id, outcome);
    });
  }

  #answer(row: number, id: number, outcome: WaitOutcome): void {
    this.#waiting.giveFor(row);
    if (outcome.kind === 'admitted') this.#askerOf(row).tickets.set(id, outcome.ticket);
    const told = outcome.kind === 'admitted' ? { kind: outcome.kind } : outcome;
    // The thread has said itself that it left.
    if (told.kind !== 'left') this.#channels.to(row)?.post(ANSWERED, { id, outcome: told });
  }

  #look(): void {
    this.#call.lower();
    this.#admission.advance();
  }

  /** Its requests ended with it: whoever waits goes, and what they took returns. Bills stay as they were estimated. */
  #onEnded(row: number): void {
    const asker = this.#askers.get(row);
    this.#askers.delete(row);
    const waiting = [...(asker?.waiting.values() ?? [])];
    asker?.waiting.clear();
    for (const waiter of waiting) waiter.leave();
    this.#waiting.reclaim(row);
    // It may have been the one that was to call.
    this.#call.lower();
    this.#admission.reclaim(row);
  }

  #askerOf(row: number): Asker {
    let asker = this.#askers.get(row);
    if (!asker) this.#askers.set(row, (asker = { waiting: new Map(), tickets: new Map() }));
    return asker;
  }
}
