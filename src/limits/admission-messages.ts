import type { MessageKind } from '../base/channel.ts';
import { Places } from '../base/places.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { PriorityClass } from '../config/settings/settings.ts';
import type { Refusal } from './door.ts';

/** A request that waits in its thread, by a number that the thread gives it. */
export interface Asking {
  readonly id: number;
  readonly flow: string;
  readonly priority: PriorityClass;
  readonly tokens: number;
}

/** What came of it. `admitted`: one of the places is the thread's. */
export interface Answered {
  readonly id: number;
  readonly outcome: { readonly kind: 'admitted' } | Refusal;
}

/** `tokens`: what it really took, where that is known. */
export interface Finished {
  readonly id: number;
  readonly tokens: number | undefined;
}

/** To control. */
export const ASKING: MessageKind<Asking> = { name: 'admission:asking' };
export const GONE: MessageKind<{ readonly id: number }> = { name: 'admission:gone' };
export const FINISHED: MessageKind<Finished> = { name: 'admission:finished' };
export const FREED: MessageKind<null> = { name: 'admission:freed' };
/** To a request thread. */
export const ANSWERED: MessageKind<Answered> = { name: 'admission:answered' };

/**
 * Requests that wait in some thread, from before they ask until control has answered: while there are any, nobody gets in without
 * asking, and control is told of places that come free.
 */
export function openWaiting(memory: ThreadMemory): Places {
  return new Places(memory, 'admission:waiting', Infinity);
}

/** Whether control is to look and has not yet: one message is enough for all places that come free meanwhile. */
export class Call {
  readonly #word: Int32Array;

  constructor(memory: ThreadMemory) {
    this.#word = new Int32Array(memory.region('admission:call', 4));
  }

  /** True for the first who calls. */
  raise(): boolean {
    return Atomics.exchange(this.#word, 0, 1) === 0;
  }

  /** Before looking, so that what comes free while control looks calls again. */
  lower(): void {
    Atomics.store(this.#word, 0, 0);
  }
}
