import type { LoadColumns } from './policy.ts';
import { uncachedTokens } from './uncached.ts';

/** What one look over the members found. */
export interface Sight {
  /** The least loaded member, and the warmest; of those that are alike the less loaded, then the one that was given a cold prompt longer ago. */
  readonly lightest: number;
  readonly warmest: number;
  readonly highestLoad: number;
}

/** Numbers of the members of one pool, and by slot who was given a cold prompt when. */
export interface AffinityRows {
  /** What there is of the prompt there, in whatever measure a policy has. NaN of those that may not be chosen. */
  readonly warmth: Float64Array;
  /** Tokens that need not be computed there. NaN of those that may not be chosen; so is what is reckoned of them. */
  readonly saved: Float64Array;
  readonly running: Float64Array;
  readonly costs: Float64Array;
  readonly turns: Float64Array;
}

/** Writes the running requests (ramped) of each member. */
export function look(
  slots: Int32Array,
  columns: LoadColumns,
  { warmth, running, turns }: AffinityRows,
): Sight {
  const loads = columns.running;
  let highestLoad = 0;
  let lightest = -1;
  let lowestLoad = Infinity;
  let lightestTurn = Infinity;
  let warmest = -1;
  let most = -1;
  let warmestLoad = Infinity;
  let warmestTurn = Infinity;
  for (let index = 0; index < slots.length; index++) {
    const slot = slots[index]!;
    const turn = turns[slot]!;
    const warm = warmth[index]!;
    // NaN stays NaN.
    const load = loads[slot]! + 0 * warm;
    running[index] = load;
    if (load > highestLoad) highestLoad = load;
    if (load < lowestLoad || (load === lowestLoad && turn < lightestTurn)) {
      lightest = index;
      lowestLoad = load;
      lightestTurn = turn;
    }
    const isAsWarm = warm === most && (load < warmestLoad || (load === warmestLoad && turn < warmestTurn));
    if (warm > most || isAsWarm) {
      warmest = index;
      most = warm;
      warmestLoad = load;
      warmestTurn = turn;
    }
  }
  return { lightest, warmest, highestLoad };
}

/**
 * Writes for each member the seconds until the first token would come: what waits there already, then the uncached part of
 * this prompt. Returns who has the fewest.
 */
export function reckon(
  slots: Int32Array,
  columns: LoadColumns,
  rows: AffinityRows,
  totalTokens: number,
): number {
  const { prefillTokens, prefillRate } = columns;
  const { saved, running, costs, turns } = rows;
  let quickest = -1;
  let lowest = Infinity;
  let quickestLoad = Infinity;
  let quickestTurn = Infinity;
  for (let index = 0; index < slots.length; index++) {
    const slot = slots[index]!;
    const load = running[index]!;
    const turn = turns[slot]!;
    const uncached = uncachedTokens(totalTokens, saved[index]!);
    const cost = (costs[index] = (prefillTokens[slot]! + uncached) / prefillRate[slot]!);
    const isAsQuick =
      cost === lowest && (load < quickestLoad || (load === quickestLoad && turn < quickestTurn));
    if (cost < lowest || isAsQuick) {
      quickest = index;
      lowest = cost;
      quickestLoad = load;
      quickestTurn = turn;
    }
  }
  return quickest;
}
