import type { Clock, Timer } from '../../base/clock.ts';
import type { Sequence } from '../engine/sequence.ts';
import type { WorkerModel } from '../engine/worker-model.ts';

/** Blocks of a prompt that another worker may fetch. */
export interface Kept {
  readonly engine: WorkerModel;
  readonly sequence: Sequence;
  /** Called once when it was fetched or will not be any more. */
  readonly onGone?: () => void;
}

interface Lease extends Kept {
  readonly timer: Timer;
}

type Waiter = (kept: Kept) => void;

/** What of a worker's KV cache others may fetch, by name. Blocks are given back when they were fetched, or after a while. */
export class Leases {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #onExpired: (kept: Kept) => void;
  readonly #leases = new Map<string, Lease>();
  /** Who asks for what is not computed yet. One for each open connection at most. */
  readonly #waiters = new Map<string, Set<Waiter>>();

  constructor(clock: Clock, leaseMs: number, onExpired: (kept: Kept) => void) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#onExpired = onExpired;
  }

  get size(): number {
    return this.#leases.size;
  }

  keep(key: string, kept: Kept): void {
    // Under one name there is one: a client may send an id twice.
    this.free(key);
    const timer = this.#clock.after(this.#leaseMs, () => {
      if (this.free(key)) this.#onExpired(kept);
    });
    const lease: Lease = { ...kept, timer };
    this.#leases.set(key, lease);
    const waiters = this.#waiters.get(key) ?? [];
    this.#waiters.delete(key);
    for (const waiter of waiters) waiter(lease);
  }

  /** Undefined too where the engine has begun anew meanwhile. */
  find(key: string): Kept | undefined {
    const lease = this.#leases.get(key);
    return lease && lease.sequence.blocks.length > 0 ? lease : undefined;
  }

  /** Calls back when it is there; @returns how to stop waiting. */
  wait(key: string, waiter: Waiter): () => void {
    const waiters = this.#waiters.get(key) ?? new Set();
    this.#waiters.set(key, waiters.add(waiter));
    return () => {
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiters.get(key) === waiters) this.#waiters.delete(key);
    };
  }

  /** The one who will fetch it is there, and waits for its turn. */
  extend(key: string): void {
    this.#leases.get(key)?.timer.refresh();
  }

  /** @returns whether it was there. */
  free(key: string): boolean {
    const lease = this.#leases.get(key);
    if (!lease) return false;
    this.#leases.delete(key);
    lease.timer.cancel();
    lease.engine.giveBack(lease.sequence);
    lease.onGone?.();
    return true;
  }

  clear(): void {
    for (const key of [...this.#leases.keys()]) this.free(key);
    this.#waiters.clear();
  }
}
