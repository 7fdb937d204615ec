import { ColdOrder } from '../cold-order.ts';
import { NOBODY } from '../eligible.ts';
import { FleetLoads, MemberRow, slotsOf } from '../fleet-rows.ts';
import { MemberMatches, needsOf } from '../member-matches.ts';
import type { Ask, Choice, LoadColumns, Policy, PolicyDeps, PolicyEvent, Pool } from '../policy.ts';
import { uncachedTokens } from '../uncached.ts';

export interface LeastWorkSettings {
  /** What a second that others are stalled is worth against a second of one's own wait for the first token. */
  readonly theta: number;
}

/**
 * Scores this close to the best are a tie between workers that hold equally much of the prompt. Learnt speeds differ
 * by a few percent of noise; without this, an idle fleet would send every cold prompt to whichever looks fastest.
 */
const TIE = 0.05;

/**
 * The worker where the request costs least, in seconds:
 *
 *     S = (Q + U) / rate  +  theta * (U / rate) * n
 *
 * Q: prompt tokens waiting there, U: tokens of this prompt not cached there, rate: its prefill speed, n: its running
 * requests. The first term is the wait for this request's first token; the second is the delay it causes there, since
 * prefill stalls the n requests that are being decoded. Ramp-up multiplies Q and n.
 *
 * Affinity is bounded by construction. A warm worker w is chosen over a colder c only if S(w) <= S(c), that is, if
 * Q(w)/rate - Q(c)/rate, the extra wait, is at most what the hit saves: the difference of U/rate, counted once for
 * this request and theta times for each request it would have stalled. The tie rule compares equally warm workers only.
 */
export class LeastWorkPolicy implements Policy {
  readonly name = 'least_work';
  readonly needs: Policy['needs'];
  readonly #theta: number;
  readonly #loads: FleetLoads;
  readonly #matches: MemberMatches;
  readonly #cold: ColdOrder;
  readonly #scores = new MemberRow();

  constructor(
    { theta }: LeastWorkSettings,
    { loads, cache, share }: Pick<PolicyDeps, 'loads' | 'cache' | 'share'>,
  ) {
    this.needs = needsOf(cache);
    this.#cold = new ColdOrder(share);
    this.#theta = theta;
    this.#loads = new FleetLoads(loads);
    this.#matches = new MemberMatches(cache);
  }

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const { totalTokens } = ask.blocks();
    const scores = this.#scores.of(pool);
    const { tokens: matchedTokens, saved, knowledge } = this.#matches.look(ask, pool);
    const columns = this.#loads.read(pool);
    const { slots } = slotsOf(pool);
    const best = score(slots, columns, { saved, scores }, totalTokens, this.#theta);
    const turns = this.#cold.column(columns.running.length);
    const index = longestNotCold(slots, turns, scores, saved, best);
    return {
      kind: 'chosen',
      index,
      reason: index === best ? 'least_work' : 'tie_cold',
      scores,
      matchedTokens,
      knowledge,
    };
  }

  observe(event: PolicyEvent): void {
    this.#cold.observe(event);
  }
}

interface Rows {
  /** Tokens that need not be computed there. NaN of those that may not be chosen; so are their scores. */
  readonly saved: Float64Array;
  readonly scores: Float64Array;
}

/** Writes the scores of all members; returns who has the lowest. */
function score(
  slots: Int32Array,
  { running, prefillTokens, prefillRate }: LoadColumns,
  { saved, scores }: Rows,
  totalTokens: number,
  theta: number,
): number {
  let best = -1;
  let lowest = Infinity;
  for (let index = 0; index < slots.length; index++) {
    const slot = slots[index]!;
    const uncached = uncachedTokens(totalTokens, saved[index]!);
    const first = prefillTokens[slot]! + uncached;
    const others = theta * uncached * running[slot]!;
    const seconds = (scores[index] = (first + others) / prefillRate[slot]!);
    if (seconds < lowest) {
      best = index;
      lowest = seconds;
    }
  }
  return best;
}

/** Among those tied with the best, the one that was given a cold prompt longest ago. */
function longestNotCold(
  slots: Int32Array,
  turns: Float64Array,
  scores: Float64Array,
  saved: Float64Array,
  best: number,
): number {
  const atMost = scores[best]! * (1 + TIE);
  const warmth = saved[best]!;
  let pick = best;
  let pickTurn = Infinity;
  for (let index = 0; index < slots.length; index++) {
    const turn = turns[slots[index]!]!;
    if (scores[index]! <= atMost && saved[index] === warmth && turn < pickTurn) {
      pick = index;
      pickTurn = turn;
    }
  }
  return pick;
}
