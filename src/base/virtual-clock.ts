import type { Clock, Timer } from './clock.ts';

interface Entry {
  dueAt: number;
  order: number;
  readonly delayMs: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/** A clock that moves only when told to. Timers due at the same instant run in the order they were set. */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #wallAtZero: number;
  readonly #entries = new Set<Entry>();

  constructor(wallAtZero = 1_700_000_000_000) {
    this.#wallAtZero = wallAtZero;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wallAtZero + this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry: Entry = {
      dueAt: this.#now + delayMs,
      order: this.#order++,
      delayMs,
      callback,
      cancelled: false,
    };
    this.#entries.add(entry);
    return {
      cancel: () => {
        entry.cancelled = true;
        this.#entries.delete(entry);
      },
      refresh: () => {
        if (entry.cancelled) return;
        entry.dueAt = this.#now + delayMs;
        entry.order = this.#order++;
        this.#entries.add(entry);
      },
    };
  }

  /** Number of timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#entries.size;
  }

  advance(byMs: number): void {
    const until = this.#now + byMs;
    for (let next = this.#earliest(); next !== undefined && next.dueAt <= until; next = this.#earliest()) {
      this.#now = next.dueAt;
      this.#entries.delete(next);
      next.callback();
    }
    this.#now = until;
  }

  #earliest(): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.#entries) {
      if (!best || entry.dueAt < best.dueAt || (entry.dueAt === best.dueAt && entry.order < best.order))
        best = entry;
    }
    return best;
  }
}
