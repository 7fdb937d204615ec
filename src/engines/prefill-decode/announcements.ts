import type { Clock, Timer } from '../../base/clock.ts';
import type { Expect } from './arrivals.ts';

/** What became of an announcement. */
export const ANNOUNCEMENT_ENDS = [
  /** Somebody waited for it. */
  'awaited',
  /** Nobody did in time. */
  'expired',
  /** Too many others waited to be asked for. */
  'no_room',
] as const;
export type AnnouncementEnd = (typeof ANNOUNCEMENT_ENDS)[number];

export interface AnnouncementDeps {
  readonly clock: Clock;
  readonly onEnd: (end: AnnouncementEnd, count: number) => void;
}

/** Announcements of one key come within the transfer of one prompt. */
const KEPT_MS = 60_000;
const MOST_KEYS = 16_384;

interface Waiter {
  readonly times: number;
  readonly onArrived: () => void;
}

interface Entry {
  count: number;
  /** `clock.now()` of the first announcement, or of the first who asked. */
  readonly since: number;
  readonly waiters: Set<Waiter>;
}

/**
 * Announcements, counted by key, for those who wait for them and those who come later: the blocks of a prompt may have arrived before
 * the worker that sent them has answered.
 */
export class Announcements {
  readonly #deps: AnnouncementDeps;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();
  #sweep: Timer | undefined;

  constructor(deps: AnnouncementDeps) {
    this.#deps = deps;
  }

  /** Keys that are known, announced or waited for. */
  get size(): number {
    return this.#entries.size;
  }

  announced(key: string): void {
    const entry = this.#entryOf(key);
    entry.count += 1;
    const served = [...entry.waiters].filter(({ times }) => entry.count >= times);
    for (const waiter of served) entry.waiters.delete(waiter);
    if (served.length > 0 && entry.waiters.size === 0) this.#end(key, entry, 'awaited');
    for (const { onArrived } of served) onArrived();
  }

  readonly expect: Expect = (key, times, onArrived) => {
    const entry = this.#entryOf(key);
    if (entry.count >= times) {
      this.#end(key, entry, 'awaited');
      onArrived();
      return () => undefined;
    }
    const waiter = { times, onArrived };
    entry.waiters.add(waiter);
    return () => {
      entry.waiters.delete(waiter);
    };
  };

  close(): void {
    this.#sweep?.cancel();
    this.#entries.clear();
  }

  #entryOf(key: string): Entry {
    const known = this.#entries.get(key);
    if (known) return known;
    const entry = { count: 0, since: this.#deps.clock.now(), waiters: new Set<Waiter>() };
    this.#makeRoom();
    this.#entries.set(key, entry);
    this.#sweep ??= this.#deps.clock.after(KEPT_MS, () => this.#dropOld());
    return entry;
  }

  /** Who waits has a time of his own: the oldest that nobody waits for goes. */
  #makeRoom(): void {
    if (this.#entries.size < MOST_KEYS) return;
    for (const [key, entry] of this.#entries)
      if (entry.waiters.size === 0) {
        this.#end(key, entry, 'no_room');
        return;
      }
  }

  #dropOld(): void {
    const before = this.#deps.clock.now() - KEPT_MS;
    for (const [key, entry] of this.#entries) {
      if (entry.since > before) break;
      if (entry.waiters.size === 0) this.#end(key, entry, 'expired');
    }
    if (this.#entries.size > 0) this.#sweep?.refresh();
    else this.#sweep = undefined;
  }

  #end(key: string, entry: Entry, how: AnnouncementEnd): void {
    this.#entries.delete(key);
    if (entry.count > 0) this.#deps.onEnd(how, entry.count);
  }
}
