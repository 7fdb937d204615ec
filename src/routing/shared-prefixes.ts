import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { BYTES_PER_BLOCK } from './prompt-hash.ts';
import type { Ask, PrefixHints } from './policy.ts';

/** Where beginnings of prompts were sent, by key. What it says is a worker's name and no more than that. */
export interface PrefixTable {
  /** Undefined also where it is not known in time. Never rejects. */
  get(key: string): string | undefined | Promise<string | undefined>;
  set(key: string, worker: string): void;
}

export interface SharedPrefixSettings {
  /** How long a beginning is; rounded up to whole blocks. */
  readonly prefixChars: number;
  /** How often a choice is written, 0 to 1. */
  readonly writeProbability: number;
  readonly readOnLocalMiss: boolean;
}

/** What has come of it, for whoever counts. */
export type PrefixOutcome = 'hit' | 'miss' | 'stale' | 'write';

/**
 * Where other routers have sent prompts that begin alike: asked where this one's own index knows nothing. A beginning is known by the
 * hash of its blocks, which is that of its messages whatever API they came through; prompts that are shorter have none, so that
 * what is short or empty does not all go to one worker.
 */
export class SharedPrefixes implements PrefixHints {
  readonly isOpen = true;
  readonly #settings: SharedPrefixSettings;
  readonly #table: PrefixTable;
  readonly #random: Random;
  readonly #count: (outcome: PrefixOutcome) => void;

  constructor(
    settings: SharedPrefixSettings,
    {
      table,
      random,
      count,
    }: {
      readonly table: PrefixTable;
      readonly random: Random;
      readonly count: (outcome: PrefixOutcome) => void;
    },
  ) {
    this.#settings = settings;
    this.#table = table;
    this.#random = random;
    this.#count = count;
  }

  find(ask: Ask): string | undefined | Promise<string | undefined> {
    const key = this.#settings.readOnLocalMiss ? this.#keyOf(ask) : undefined;
    if (key === undefined) return undefined;
    const found = this.#table.get(key);
    if (!(found instanceof Promise)) return this.#counted(found);
    return found.then((worker) => this.#counted(worker));
  }

  sent(ask: Ask, worker: string): void {
    if (this.#random() >= this.#settings.writeProbability) return;
    const key = this.#keyOf(ask);
    if (key === undefined) return;
    this.#count('write');
    this.#table.set(key, worker);
  }

  stale(): void {
    this.#count('stale');
  }

  #counted(worker: string | undefined): string | undefined {
    this.#count(worker === undefined ? 'miss' : 'hit');
    return worker;
  }

  #keyOf(ask: Ask): string | undefined {
    const { count, hashes } = ask.blocks();
    const block = Math.ceil(this.#settings.prefixChars / BYTES_PER_BLOCK);
    if (count < block) return undefined;
    const at = 2 * (block - 1);
    return `${encodeURIComponent(ask.model)}:${word(hashes[at + 1])}${word(hashes[at])}`;
  }
}

function word(bits = 0): string {
  return (bits >>> 0).toString(16).padStart(8, '0');
}

const MOST_PREFIXES = 100_000;

/** That of one thread. */
export class OwnPrefixes implements PrefixTable {
  readonly #workers: LRUCache<string, string>;

  constructor(ttlMs: number, clock: Pick<Clock, 'now'>) {
    this.#workers = new LRUCache({
      ...{ max: MOST_PREFIXES, ttl: ttlMs, ttlResolution: 0 },
      // The cache takes a time of 0 for none.
      perf: { now: () => 1 + clock.now() },
    });
  }

  get(key: string): string | undefined {
    return this.#workers.get(key);
  }

  set(key: string, worker: string): void {
    this.#workers.set(key, worker);
  }
}
