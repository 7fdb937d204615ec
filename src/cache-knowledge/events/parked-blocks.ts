import type { Clock, Timer } from '../../base/clock.ts';
import type { ByteBudget } from '../../base/byte-budget.ts';
import type { StoredEvent, Tier } from './kv-event.ts';

interface Parked {
  readonly event: StoredEvent;
  readonly bytes: number;
  /** Monotonic ms. */
  readonly until: number;
  /** Blocks of it that were removed meanwhile: low and high half of each. */
  readonly removed: number[];
}

/** Blocks whose parent is known by now. */
export interface Unparked {
  readonly event: StoredEvent;
  /** Those of them that were removed meanwhile: low and high half of each. */
  readonly removed: Uint32Array;
}

const PARK_MS = 60_000;
const MOST_BYTES = 1024 * 1024;
/** What an event takes beside its numbers, and a block of it to be found by. */
const EVENT_BYTES = 512;
const NAME_BYTES = 160;

/**
 * Blocks whose parent nobody told of: who joins late has not heard of the beginning of a prompt, but hears of it when the engine
 * computes it again. Until then, or for a minute, they wait here.
 */
export class ParkedBlocks {
  readonly #clock: Clock;
  readonly #budget: ByteBudget;
  readonly #onDropped: (blocks: number) => void;
  /** By name of the parent, and of their own blocks. */
  readonly #byParent = new Map<bigint, Set<Parked>>();
  readonly #byName = new Map<bigint, Set<Parked>>();
  /** In the order of their coming. */
  readonly #all = new Set<Parked>();
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, budget: ByteBudget, onDropped: (blocks: number) => void) {
    this.#clock = clock;
    this.#budget = budget;
    this.#onDropped = onDropped;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /** Copies the event: its arrays may be used again. */
  park(event: StoredEvent): void {
    const { parent } = event;
    const blocks = event.names.length / 2;
    const bytes = EVENT_BYTES + NAME_BYTES * blocks + event.tokens.byteLength + textBytes(event);
    if (parent === undefined || bytes > MOST_BYTES) {
      this.#onDropped(blocks);
      return;
    }
    while (this.#bytes + bytes > MOST_BYTES) this.#dropOldest();
    if (!this.#budget.take(bytes)) {
      this.#onDropped(blocks);
      return;
    }
    this.#bytes += bytes;
    const copy = { ...event, names: event.names.slice(), tokens: event.tokens.slice() };
    const parked = { event: copy, bytes, until: this.#clock.now() + PARK_MS, removed: [] };
    this.#all.add(parked);
    add(this.#byParent, keyOf(parent.low, parent.high), parked);
    for (const key of keysOf(copy.names)) add(this.#byName, key, parked);
    this.#timer ??= this.#clock.after(PARK_MS, () => this.#expire());
  }

  /** Takes those out whose parent is among these, which are known now; with what was removed of each meanwhile. */
  take(names: Uint32Array): Unparked[] {
    const found: Unparked[] = [];
    for (let i = 0; i < names.length && this.#all.size > 0; i += 2) {
      for (const parked of this.#byParent.get(keyOf(names[i]!, names[i + 1]!)) ?? []) {
        this.#release(parked);
        found.push({ event: parked.event, removed: Uint32Array.from(parked.removed) });
      }
    }
    return found;
  }

  remove(names: Uint32Array, tier: Tier): void {
    for (let i = 0; i < names.length && this.#all.size > 0; i += 2) {
      const key = keyOf(names[i]!, names[i + 1]!);
      for (const parked of this.#byName.get(key) ?? []) {
        if (parked.event.tier !== tier) continue;
        // Once is enough: it is not looked for a second time.
        drop(this.#byName, key, parked);
        parked.removed.push(names[i]!, names[i + 1]!);
        if (parked.removed.length >= parked.event.names.length) this.#release(parked);
      }
    }
  }

  clear(): void {
    for (const parked of this.#all) this.#release(parked);
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #dropOldest(): void {
    for (const oldest of this.#all) {
      this.#drop(oldest);
      return;
    }
  }

  #drop(parked: Parked): void {
    this.#release(parked);
    this.#onDropped(parked.event.names.length / 2);
  }

  #release(parked: Parked): void {
    this.#all.delete(parked);
    this.#bytes -= parked.bytes;
    this.#budget.give(parked.bytes);
    const { parent, names } = parked.event;
    if (parent) drop(this.#byParent, keyOf(parent.low, parent.high), parked);
    for (const key of keysOf(names)) drop(this.#byName, key, parked);
  }

  #expire(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    for (const parked of this.#all) {
      if (parked.until > now) {
        this.#timer = this.#clock.after(parked.until - now, () => this.#expire());
        return;
      }
      this.#drop(parked);
    }
  }
}

function keyOf(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

function textBytes({ extras, adapter }: StoredEvent): number {
  return 2 * (adapter.length + (extras?.reduce((sum, extra) => sum + extra.length, 0) ?? 0));
}

function* keysOf(names: Uint32Array): Generator<bigint> {
  for (let i = 0; i < names.length; i += 2) yield keyOf(names[i]!, names[i + 1]!);
}

function add(sets: Map<bigint, Set<Parked>>, key: bigint, parked: Parked): void {
  const set = sets.get(key);
  if (set) set.add(parked);
  else sets.set(key, new Set([parked]));
}

function drop(sets: Map<bigint, Set<Parked>>, key: bigint, parked: Parked): void {
  const set = sets.get(key);
  if (set?.delete(parked) === true && set.size === 0) sets.delete(key);
}
