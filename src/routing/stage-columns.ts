import { FleetLoads, MemberRow, slotsOf } from './fleet-rows.ts';
import { MemberMatches } from './member-matches.ts';
import { CACHE_SOURCES, type Ask, type CacheView, type LoadView, type Pool } from './policy.ts';

/** What the cost of a request at each member of a pool is made of: one number per member. */
export interface PoolColumns {
  readonly slots: Int32Array;
  /** Prompt tokens that wait to be computed there. */
  readonly prefillTokens: Float64Array;
  /** Tokens per second. */
  readonly prefillRate: Float64Array;
  readonly running: Float64Array;
  /** Tokens of this prompt that need not be computed there; NaN of those that may not be chosen. */
  readonly saved: Float64Array;
  /** Tokens of KV cache that its requests are expected to hold. */
  readonly kvTokens: Float64Array;
  /** Tokens that there is room for; Infinity where that is not known. */
  readonly kvCapacity: Float64Array;
}

export interface StageColumnsDeps {
  readonly loads: LoadView;
  readonly cache: CacheView;
  /** Tokens that the worker's KV cache has room for; Infinity where that is not known. */
  readonly capacityOf: (slot: number) => number;
}

const NONE = new Float64Array(0);
const PREDICTED = CACHE_SOURCES.indexOf('predicted');

/** Reads them for the pool of one stage. Good until the next look. */
export class StageColumns implements PoolColumns {
  slots: Int32Array = new Int32Array(0);
  /** Above all of them. */
  end = 0;
  prefillTokens: Float64Array = NONE;
  prefillRate: Float64Array = NONE;
  running: Float64Array = NONE;
  saved: Float64Array = NONE;
  kvTokens: Float64Array = NONE;
  kvCapacity: Float64Array = NONE;
  /** What is known of the prompt in these members' caches. */
  readonly matches: MemberMatches;
  readonly #loads: LoadView;
  readonly #fleet: FleetLoads;
  readonly #capacityOf: (slot: number) => number;
  readonly #rows = Array.from({ length: 5 }, () => new MemberRow());
  readonly #doubted = new MemberRow();

  constructor({ loads, cache, capacityOf }: StageColumnsDeps) {
    this.matches = new MemberMatches(cache);
    this.#loads = loads;
    this.#fleet = new FleetLoads(loads);
    this.#capacityOf = capacityOf;
  }

  look(ask: Ask, pool: Pool): this {
    const { slots, end } = slotsOf(pool);
    this.end = end;
    const [queued, rate, running, kv, capacity] = this.#rows.map((row) => row.of(pool));
    this.slots = slots;
    this.saved = this.matches.look(ask, pool).saved;
    this.prefillTokens = queued!;
    this.prefillRate = rate!;
    this.running = running!;
    this.kvTokens = kv!;
    this.kvCapacity = capacity!;
    const columns = this.#fleet.read(pool);
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index]!;
      queued![index] = columns.prefillTokens[slot]!;
      rate![index] = columns.prefillRate[slot]!;
      running![index] = columns.running[slot]!;
      kv![index] = this.#loads.kvTokens(slot);
      capacity![index] = this.#capacityOf(slot);
    }
    return this;
  }

  /**
   * Counts of predicted tokens as many as are found on average where so much KV cache is wanted: the engine drops what requests have left
   * for what they need, which nobody tells. What it tells itself is not doubted.
   */
  doubt(pool: Pool): this {
    const certain = this.matches.knowledge?.sources;
    const believed = this.saved;
    const saved = (this.saved = this.#doubted.of(pool));
    for (let index = 0; index < saved.length; index++) {
      const wanted = this.kvTokens[index]! / Math.max(1, this.kvCapacity[index]!);
      const isPredicted = certain === undefined || certain[index] === PREDICTED;
      saved[index] = believed[index]! * (isPredicted ? foundWhere(wanted) : 1);
    }
    return this;
  }
}

/**
 * The share of predicted tokens that is found. Measured in simulated decode engines that serve some requests whole, agents and chats: 0.9
 * where half of the KV cache is wanted, 0.7 to 0.75 where all of it, a half where that and as much again waits for a place.
 */
function foundWhere(wanted: number): number {
  return 1 / (1 + wanted ** 2 / 3);
}
