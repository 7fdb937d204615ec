import { EXCLUDED, EXCLUSION_NAMES } from '../../routing/policy.ts';
import type { CandidateRecord, CandidateRest } from '../record/decision.ts';
import type { Leg, Plan } from './plan.ts';
import type { Runtime } from '../runtime.ts';

/** The candidates of one plan, as the record shows them. */
export interface CandidateTable {
  /** The best scores, best first, and besides them the chosen and the tried. */
  readonly listed: readonly CandidateRecord[];
  readonly rest: CandidateRest | undefined;
  /** Score of the best other eligible candidate minus the winner's. */
  readonly margin: number | undefined;
}

/** A choice among the members of a pool; a plan, or what would have become one. */
export interface Chosen extends Pick<Plan, 'pool' | 'choice' | 'index'> {
  /** Absent where no lease has been taken. */
  readonly legs?: readonly [Leg];
}

const LISTED_IN_FULL = 8;
const MANY = 64;

export function describeCandidates(rt: Runtime, plan: Chosen, inFull = LISTED_IN_FULL): CandidateTable {
  const { mask, members } = plan.pool;
  const listed = best(plan, Math.min(members.length, inFull));
  const margin = marginOf(plan, listed);
  if (members.length > inFull) {
    for (let index = 0; index < members.length; index += 1) {
      const wanted = index === plan.index || mask[index] === EXCLUDED.tried;
      if (wanted && !listed.includes(index)) listed.push(index);
    }
  }
  return {
    listed: listed.map((index) => candidate(rt, plan, index)),
    rest: members.length > listed.length ? rest(plan, new Set(listed)) : undefined,
    margin,
  };
}

/** Indices of the `count` lowest scores, lowest first; members without a score come behind, in their order. */
function best(plan: Chosen, count: number): number[] {
  if (count > MANY) return sorted(plan).slice(0, count);
  const order: number[] = [];
  for (let index = 0; index < plan.pool.members.length; index += 1) {
    const score = sortKey(plan, index);
    if (order.length === count && score >= sortKey(plan, order[count - 1] ?? 0)) continue;
    let at = order.length;
    while (at > 0 && score < sortKey(plan, order[at - 1] ?? 0)) at -= 1;
    order.splice(at, 0, index);
    if (order.length > count) order.pop();
  }
  return order;
}

/** The same for so many that inserting one by one would be slow. */
function sorted(plan: Chosen): number[] {
  const order = plan.pool.members.map((_, index) => index);
  return order.sort((left, right) => {
    const [a, b] = [sortKey(plan, left), sortKey(plan, right)];
    return a === b ? left - right : a < b ? -1 : 1;
  });
}

function sortKey(plan: Chosen, index: number): number {
  return scoreOf(plan, index) ?? Infinity;
}

function scoreOf(plan: Chosen, index: number): number | undefined {
  const score = plan.choice?.scores?.[index];
  return score === undefined || !Number.isFinite(score) ? undefined : score;
}

function candidate(rt: Runtime, plan: Chosen, index: number): CandidateRecord {
  const member = plan.pool.members[index];
  const slot = member?.slot ?? 0;
  const score = scoreOf(plan, index);
  const matched = plan.choice?.matchedTokens?.[index];
  // The ledger already counts this request on its worker; the record shows what the policy saw.
  const own = index === plan.index ? plan.legs?.[0] : undefined;
  const record: Mutable<CandidateRecord> = {
    worker: member?.id ?? '',
    state: EXCLUSION_NAMES[plan.pool.mask[index] ?? 0] ?? 'eligible',
    running: rt.ledger.running(slot) - (own ? 1 : 0),
    prefill_tokens: Math.max(0, Math.round(rt.ledger.prefillTokens(slot) - (own?.uncachedTokens ?? 0))),
  };
  if (score !== undefined) record.score = roundScore(score);
  if (matched !== undefined && !Number.isNaN(matched)) record.matched_tokens = Math.round(matched);
  return record;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function rest(plan: Chosen, listed: ReadonlySet<number>): CandidateRest {
  const { mask, members } = plan.pool;
  const scores = new Float64Array(members.length);
  const excluded: Record<string, number> = {};
  let scored = 0;
  for (let index = 0; index < members.length; index += 1) {
    if (listed.has(index)) continue;
    const score = scoreOf(plan, index);
    if (score !== undefined) scores[scored++] = score;
    const state = mask[index] ?? EXCLUDED.no;
    const name = EXCLUSION_NAMES[state];
    if (state !== EXCLUDED.no && name !== undefined) excluded[name] = (excluded[name] ?? 0) + 1;
  }
  const sorted = scores.subarray(0, scored).sort();
  const [min, median, max] = [sorted[0], sorted[scored >> 1], sorted[scored - 1]];
  return {
    count: members.length - listed.size,
    ...(min === undefined || median === undefined || max === undefined
      ? {}
      : { score_min: roundScore(min), score_median: roundScore(median), score_max: roundScore(max) }),
    excluded,
  };
}

function marginOf(plan: Chosen, order: readonly number[]): number | undefined {
  const own = scoreOf(plan, plan.index);
  const runnerUp = order.find((index) => index !== plan.index && plan.pool.mask[index] === EXCLUDED.no);
  const other = runnerUp === undefined ? undefined : scoreOf(plan, runnerUp);
  return own === undefined || other === undefined ? undefined : roundScore(other - own);
}

/** Microseconds, where scores are seconds. */
export function roundScore(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
