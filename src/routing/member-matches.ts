import { MemberRow, slotsOf } from './fleet-rows.ts';
import {
  CACHE_SOURCES,
  type Ask,
  type CacheView,
  type Choice,
  type MatchColumns,
  type MatchKnowledge,
  type Policy,
  type Pool,
  type TierColumns,
} from './policy.ts';

/**
 * What a token that lies in the memory of a worker's CPU, or on its disk, saves of the work of computing it: it has to be loaded.
 * A token of an 8B model with grouped-query attention is 128 KiB of keys and values, of a 70B one 320 KiB. Over PCIe at 20 GB/s
 * that is 65,000 to 160,000 tokens a second, from a local disk at 4 GB/s 13,000 to 30,000, where engines compute some 8,000.
 */
const SAVED_FROM_CPU = 0.9;
const SAVED_FROM_DISK = 0.5;

/**
 * What is known of one prompt in the caches of a pool's members, for policies that look at hundreds of them for each request. All
 * of it is good until the next look.
 */
export class MemberMatches {
  /** Cached tokens of the prompt for each member that may be chosen, NaN for the others. */
  tokens: Float64Array = new Float64Array(0);
  /** The same in tokens that need not be computed: less where they have to be loaded from elsewhere. */
  saved: Float64Array = this.tokens;
  /** Undefined where all are predicted. */
  knowledge: MatchKnowledge | undefined;
  readonly #cache: CacheView;
  readonly #tokens = new MemberRow();
  readonly #saved = new MemberRow();
  readonly #cpu = new MemberRow();
  readonly #disk = new MemberRow();
  #sources = new Uint8Array(0);

  constructor(cache: CacheView) {
    this.#cache = cache;
  }

  look(ask: Ask, pool: Pool): this {
    const { slots, end } = slotsOf(pool);
    const tokens = (this.tokens = this.saved = this.#tokens.of(pool));
    const columns = this.#cache.matchAll?.(ask, end);
    if (columns) {
      const { rows, tokens: byRow } = columns;
      for (let index = 0; index < slots.length; index++) tokens[index] = byRow[rows[slots[index]!]!]!;
      this.knowledge = undefined;
      if (columns.sources || columns.tiers) this.#know(columns, pool);
    } else this.#lookOneByOne(ask, pool);
    const { mask } = pool;
    if (pool.eligible === slots.length) return this;
    for (let index = 0; index < slots.length; index++) if (mask[index] !== 0) tokens[index] = NaN;
    if (this.saved !== tokens)
      for (let index = 0; index < slots.length; index++) this.saved[index]! += 0 * tokens[index]!;
    return this;
  }

  #know({ rows, sources, tiers }: MatchColumns, pool: Pool): void {
    const { slots } = slotsOf(pool);
    const own = sources && this.#sourcesOf(pool);
    if (own && sources)
      for (let index = 0; index < slots.length; index++) own[index] = sources[rows[slots[index]!]!]!;
    this.knowledge = { sources: own, tiers: tiers && this.#tiersOf(tiers, rows, pool) };
  }

  #tiersOf({ cpu, disk }: TierColumns, rows: Int32Array, pool: Pool): TierColumns {
    const { slots } = slotsOf(pool);
    const tiers = { cpu: this.#cpu.of(pool), disk: this.#disk.of(pool) };
    for (let index = 0; index < slots.length; index++) {
      const row = rows[slots[index]!]!;
      tiers.cpu[index] = cpu[row]!;
      tiers.disk[index] = disk[row]!;
    }
    this.#weigh(tiers, pool);
    return tiers;
  }

  /** For views that know of one worker at a time. */
  #lookOneByOne(ask: Ask, pool: Pool): void {
    const sources = this.#sourcesOf(pool);
    const tiers = { cpu: this.#cpu.of(pool), disk: this.#disk.of(pool) };
    let isElsewhere = false;
    for (const [index, { slot }] of pool.members.entries()) {
      const match = this.#cache.match(ask, slot);
      this.tokens[index] = match.tokens;
      sources[index] = CACHE_SOURCES.indexOf(match.source);
      tiers.cpu[index] = match.tiers?.cpu ?? 0;
      tiers.disk[index] = match.tiers?.disk ?? 0;
      isElsewhere ||= match.tiers !== undefined;
    }
    this.knowledge = { sources, tiers: isElsewhere ? tiers : undefined };
    if (isElsewhere) this.#weigh(tiers, pool);
  }

  #weigh({ cpu, disk }: TierColumns, pool: Pool): void {
    const saved = (this.saved = this.#saved.of(pool));
    for (let index = 0; index < saved.length; index++)
      saved[index] =
        this.tokens[index]! - (1 - SAVED_FROM_CPU) * cpu[index]! - (1 - SAVED_FROM_DISK) * disk[index]!;
  }

  #sourcesOf({ members }: Pool): Uint8Array {
    if (this.#sources.length !== members.length) this.#sources = new Uint8Array(members.length);
    return this.#sources;
  }
}

/** What a policy needs that goes by whatever a view knows. */
export function needsOf(cache: CacheView): Policy['needs'] {
  return {
    cache: true,
    get tokens() {
      return cache.goesByTokens === true;
    },
    ...(cache.goesByHoldings && { lmcache: 'if_configured' }),
  };
}

/** A choice that was made by what is known of the caches. */
export function chosenByMatches(
  index: number,
  reason: string,
  scores: Float64Array,
  { tokens: matchedTokens, knowledge }: MemberMatches,
): Choice {
  return { kind: 'chosen', index, reason, scores, matchedTokens, knowledge };
}
