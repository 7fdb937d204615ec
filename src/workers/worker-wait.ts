import type { Clock } from '../base/clock.ts';
import { Places } from '../base/places.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import type { RegistryEvent, Roster } from './roster.ts';

/** `worker_came`: what the request waited for may be there. `left`: it gave up by itself. */
export type WorkerWaitOutcome = 'worker_came' | 'timeout' | 'left' | 'closed';

/** What a request waits for. */
export interface Wish {
  /** The same for all wishes that the same workers fulfil. */
  readonly key: string;
  /** Whether a worker could take the request now. Changes nothing. */
  readonly canBeServed: () => boolean;
}

export type WorkerWaitEntry =
  | { readonly kind: 'waiting'; readonly ended: Promise<WorkerWaitOutcome>; readonly leave: () => void }
  /** As many wait as may. */
  | { readonly kind: 'full' }
  | { readonly kind: 'closed' };

interface Waiter extends Wish {
  end(outcome: WorkerWaitOutcome): void;
}

/** What may let a worker take a request that could not before; a circuit that opens never does. */
const HOPEFUL: ReadonlySet<RegistryEvent['type']> = new Set([
  'joined',
  'left',
  'healthy',
  'models',
  'traits',
  'undrained',
  'awake',
  'moving',
  'breaker',
]);

/** Nobody tells a thread that what another one has had at a worker is over: it looks so often. */
const LOOK_AGAIN_MS = 50;

/**
 * Requests that no worker can take right now. They are looked at when something about the workers changes, all changes
 * of one turn at once, and those that could be served are let go in the order of their coming; each then chooses as
 * every request does, with the loads that those before it have left. Each thread looks at its own; how many may wait is said of
 * all threads together.
 */
export class WorkerWait {
  readonly #registry: Roster;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiter>();
  readonly #places: Places;
  /** Whether other threads have requests at the same workers. */
  readonly #isShared: boolean;
  #looksAgain = false;
  #closed = false;
  #looking = false;

  /** @param most Requests that may wait at once. */
  constructor(deps: {
    readonly registry: Roster;
    readonly clock: Clock;
    readonly most: number;
    readonly memory?: ThreadMemory;
  }) {
    this.#registry = deps.registry;
    this.#clock = deps.clock;
    const memory = deps.memory ?? ownMemory();
    this.#places = new Places(memory, 'worker-wait:places', deps.most);
    this.#isShared = memory.rows > 1;
    this.#registry.on(({ type }) => {
      if (this.#waiting.size > 0 && HOPEFUL.has(type)) this.#lookSoon();
    });
  }

  /** Requests waiting now, in all threads together. */
  get size(): number {
    return this.#places.count;
  }

  /** A worker of this thread's requests may have room again. */
  freed(): void {
    if (this.#waiting.size > 0) this.#lookSoon();
  }

  /** Another bound for those that come from now on. */
  reconfigure(settings: { readonly most: number }): void {
    this.#places.reconfigure(settings.most);
  }

  enter(wish: Wish, timeoutMs: number): WorkerWaitEntry {
    if (this.#closed) return { kind: 'closed' };
    if (!this.#places.take()) return { kind: 'full' };
    let end!: (outcome: WorkerWaitOutcome) => void;
    const ended = new Promise<WorkerWaitOutcome>((resolve) => {
      end = resolve;
    });
    const waiter: Waiter = {
      ...wish,
      end: (outcome) => {
        if (!this.#waiting.delete(waiter)) return;
        this.#places.give();
        timer.cancel();
        end(outcome);
      },
    };
    const timer = this.#clock.after(timeoutMs, () => {
      waiter.end('timeout');
    });
    this.#waiting.add(waiter);
    if (this.#isShared) this.#lookAgain();
    return {
      kind: 'waiting',
      ended,
      leave: () => {
        waiter.end('left');
      },
    };
  }

  /** Sends everybody away, now and from now on. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiting) waiter.end('closed');
  }

  /** A thread has died, and who waited in it. */
  reclaim(row: number): void {
    this.#places.reclaim(row);
  }

  #lookAgain(): void {
    if (this.#looksAgain) return;
    this.#looksAgain = true;
    this.#clock.after(LOOK_AGAIN_MS, () => {
      this.#looksAgain = false;
      this.#look();
      if (this.#waiting.size > 0) this.#lookAgain();
    });
  }

  #lookSoon(): void {
    if (this.#looking) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      this.#look();
    });
  }

  #look(): void {
    const found = new Map<string, boolean>();
    for (const waiter of this.#waiting) {
      let served = found.get(waiter.key);
      if (served === undefined) found.set(waiter.key, (served = waiter.canBeServed()));
      if (served) waiter.end('worker_came');
    }
  }
}
