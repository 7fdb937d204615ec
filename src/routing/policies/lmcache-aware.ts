import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, MemberRow, slotsOf } from '../fleet-rows.ts';
import { HeldMatches } from '../held-matches.ts';
import type {
  Ask,
  Choice,
  LoadColumns,
  OccupancyView,
  Policy,
  PolicyDeps,
  PolicyEvent,
  PolicyNeeds,
  PolicyShare,
  Pool,
} from '../policy.ts';
import { uncachedTokens } from '../uncached.ts';

export interface LmcacheAwareSettings {
  /** `prefix_lookup`: where this prompt is stored; `occupancy`: who stores much. */
  readonly lookupMode: 'occupancy' | 'prefix_lookup';
  /** Share of what is stored against the load in the score of `occupancy`, 0 to 1. */
  readonly cacheWeight: number;
  /** Whether the worker that stores most of the prompt is passed over where its queue costs more than that saves. */
  readonly loadBounded: boolean;
}

/** What the controller is asked about. */
const ASKS = { occupancy: 'occupancy', prefix_lookup: 'prompts' } as const;

interface Deps extends Pick<PolicyDeps, 'loads' | 'lmcache'> {
  readonly share?: PolicyShare | undefined;
  /** Chooses where the controller says nothing. */
  readonly fallback: Policy;
}

/**
 * The worker whose LMCache instance stores most of the prompt; of several the one where the first token is expected
 * soonest. Where none stores any of it, and in the mode `occupancy` always, the one with the highest
 *
 *     w * chunks / most chunks  +  (1 - w) * (1 - running / most running)
 *
 * and where the controller does not say how much each stores, whom the fallback chooses.
 *
 * Affinity is bounded as in `cache_aware` unless that is switched off: where the queue of the worker that stores most costs more
 * than what is stored there saves, the worker with the earliest expected first token is taken. By occupancy only those are looked at
 * whose queue costs no more than to compute the whole prompt where that would be done first.
 */
export class LmcacheAwarePolicy implements Policy {
  readonly name = 'lmcache_aware';
  readonly needs: PolicyNeeds;
  readonly #settings: LmcacheAwareSettings;
  readonly #loads: FleetLoads;
  readonly #occupancy: OccupancyView | undefined;
  readonly #fallback: Policy;
  readonly #cold: ColdOrder;
  readonly #held = new HeldMatches();
  readonly #scores = new MemberRow();

  constructor(settings: LmcacheAwareSettings, { loads, lmcache, share, fallback }: Deps) {
    this.#settings = settings;
    this.#loads = new FleetLoads(loads);
    this.#occupancy = lmcache;
    this.#fallback = fallback;
    this.#cold = new ColdOrder(share);
    const looksUp = settings.lookupMode === 'prefix_lookup';
    this.needs = {
      cache: fallback.needs.cache,
      get tokens() {
        return looksUp || fallback.needs.tokens === true;
      },
      lmcache: ASKS[settings.lookupMode],
    };
  }

  choose(ask: Ask, pool: Pool): Choice {
    return this.#choose(ask, pool, (policy) => policy.choose(ask, pool));
  }

  peek(ask: Ask, pool: Pool): Choice {
    return this.#choose(ask, pool, (policy) => policy.peek?.(ask, pool) ?? policy.choose(ask, pool));
  }

  observe(event: PolicyEvent): void {
    this.#cold.observe(event);
    this.#fallback.observe?.(event);
  }

  #choose(ask: Ask, pool: Pool, instead: (policy: Policy) => Choice): Choice {
    if (pool.eligible === 0) return NOBODY;
    const columns = this.#loads.read(pool);
    const found =
      this.#settings.lookupMode === 'prefix_lookup' ? this.#byPrefix(ask, pool, columns) : undefined;
    const choice = found ?? this.#byOccupancy(ask, pool, columns);
    if (choice) return choice;
    const other = instead(this.#fallback);
    if (other.kind === 'none' || other.fallback) return other;
    return { ...other, fallback: { policy: this.#fallback.name, cause: 'no_knowledge' } };
  }

  /** Undefined where none of those that may be chosen stores any of it. */
  #byPrefix(ask: Ask, pool: Pool, columns: LoadColumns): Choice | undefined {
    const found = this.#held.look(ask.holdings, pool);
    if (!found) return undefined;
    const { tokens: matched, knowledge } = found;
    const costs = this.#scores.of(pool);
    const totalTokens = ask.tokenIds()?.length ?? ask.blocks().totalTokens;
    const { warmest, quickest } = reckon(pool, columns, totalTokens, {
      matched,
      costs,
      turns: this.#turns(columns),
    });
    const seen = { scores: costs, matchedTokens: matched, knowledge };
    if (!this.#settings.loadBounded || costs[warmest]! <= costs[quickest]!)
      return { kind: 'chosen', index: warmest, reason: 'longest_prefix', method: 'lmcache-prefix', ...seen };
    // Where it is passed over for one that stores nothing, the load has decided.
    const isStored = matched[quickest]! > 0;
    return {
      kind: 'chosen',
      index: quickest,
      reason: isStored ? 'shorter_queue' : 'affinity_bounded',
      method: isStored ? 'lmcache-prefix' : undefined,
      ...seen,
    };
  }

  /** Undefined where it is not known who stores how much. */
  #byOccupancy(ask: Ask, pool: Pool, columns: LoadColumns): Choice | undefined {
    const chunks = this.#occupancy?.chunks();
    const scores = this.#scores.of(pool);
    if (!chunks || !weigh(pool, columns, chunks, this.#settings.cacheWeight, scores)) return undefined;
    const { slots } = slotsOf(pool);
    const turns = this.#turns(columns);
    const longest = this.#settings.loadBounded ? longestWait(ask, slots, columns, scores) : Infinity;
    let best = -1;
    let bounded = -1;
    for (const [index, slot] of slots.entries()) {
      if (Number.isNaN(scores[index])) continue;
      if (best < 0 || isBefore(scores, turns, slots, index, best)) best = index;
      if (columns.prefillTokens[slot]! / columns.prefillRate[slot]! > longest) continue;
      if (bounded < 0 || isBefore(scores, turns, slots, index, bounded)) bounded = index;
    }
    const isPassedOver = bounded !== best;
    return {
      kind: 'chosen',
      index: bounded,
      reason: isPassedOver ? 'affinity_bounded' : 'occupancy',
      scores,
    };
  }

  #turns(columns: LoadColumns): Float64Array {
    return this.#cold.column(columns.running.length);
  }
}

/** Writes the scores of `occupancy`, the lower the better; false where nobody who may be chosen stores anything. */
function weigh(
  pool: Pool,
  { running }: LoadColumns,
  chunks: ReadonlyMap<number, number>,
  cacheWeight: number,
  scores: Float64Array,
): boolean {
  const { slots } = slotsOf(pool);
  let mostChunks = 0;
  let mostRunning = 0;
  for (const [index, slot] of slots.entries()) {
    if (pool.mask[index] !== 0) continue;
    mostChunks = Math.max(mostChunks, chunks.get(slot) ?? 0);
    mostRunning = Math.max(mostRunning, running[slot]!);
  }
  for (const [index, slot] of slots.entries()) {
    const stored = (chunks.get(slot) ?? 0) / mostChunks;
    const free = mostRunning === 0 ? 1 : 1 - running[slot]! / mostRunning;
    scores[index] = pool.mask[index] === 0 ? 1 - (cacheWeight * stored + (1 - cacheWeight) * free) : NaN;
  }
  return mostChunks > 0;
}

/**
 * Seconds that a queue may take to be waited in for what might be stored there: all of the prompt at most is saved. Without this
 * bound whoever stores most gets every request, and stores more still.
 */
function longestWait(
  ask: Ask,
  slots: Int32Array,
  { prefillTokens, prefillRate }: LoadColumns,
  scores: Float64Array,
): number {
  const totalTokens = ask.tokenIds()?.length ?? ask.blocks().totalTokens;
  let earliest = Infinity;
  for (const [index, slot] of slots.entries()) {
    if (Number.isNaN(scores[index])) continue;
    earliest = Math.min(earliest, (prefillTokens[slot]! + totalTokens) / prefillRate[slot]!);
  }
  return earliest;
}

function isBefore(
  scores: Float64Array,
  turns: Float64Array,
  slots: Int32Array,
  index: number,
  other: number,
): boolean {
  const [score, against] = [scores[index]!, scores[other]!];
  return score < against || (score === against && turns[slots[index]!]! < turns[slots[other]!]!);
}

interface Rows {
  readonly matched: Float64Array;
  readonly costs: Float64Array;
  /** By slot. */
  readonly turns: Float64Array;
}

/** Writes for each member the seconds until its first token would come; returns who stores most, and who would be quickest. */
function reckon(
  pool: Pool,
  { prefillTokens, prefillRate }: LoadColumns,
  totalTokens: number,
  { matched, costs, turns }: Rows,
): { readonly warmest: number; readonly quickest: number } {
  const { slots } = slotsOf(pool);
  let warmest = -1;
  let quickest = -1;
  for (const [index, slot] of slots.entries()) {
    const uncached = uncachedTokens(totalTokens, matched[index]!);
    // NaN stays NaN: no comparison with it is true.
    costs[index] = (prefillTokens[slot]! + uncached) / prefillRate[slot]! + 0 * matched[index]!;
    if (Number.isNaN(costs[index])) continue;
    const more = warmest < 0 || matched[index]! > matched[warmest]!;
    if (more || (matched[index] === matched[warmest] && isBefore(costs, turns, slots, index, warmest)))
      warmest = index;
    if (quickest < 0 || isBefore(costs, turns, slots, index, quickest)) quickest = index;
  }
  return { warmest, quickest };
}
