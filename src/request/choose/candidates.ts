import { nthLowest } from '../../base/nth-lowest.ts';
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
  const { mask, members, eligible } = plan.pool;
  const listed = best(plan, Math.min(members.length, inFull));
  const margin = marginOf(plan, listed);
  if (members.length > inFull) {
    if (plan.index >= 0 && !listed.includes(plan.index)) listed.push(plan.index);
    for (let index = 0; eligible < members.length && index < members.length; index += 1)
      if (mask[index] === EXCLUDED.tried && !listed.includes(index)) listed.push(index);
  }
  return {
    listed: listed.map((index) => candidate(rt, plan, index)),
    rest: members.length > listed.length ? rest(plan, listed) : undefined,
    margin,
  };
}

/** Indices of the `count` lowest scores, lowest first; members without a score come behind, in their order. */
function best(plan: Chosen, count: number): number[] {
  const scores = plan.choice?.scores;
  if (scores === undefined) return Array.from({ length: count }, (_, index) => index);
  if (count > MANY) return sorted(plan).slice(0, count);
  const order: number[] = [];
  const keys: number[] = [];
  let highest = Infinity;
  for (let index = 0; index < scores.length; index += 1) {
    const score = scores[index]!;
    const key = Number.isFinite(score) ? score : Infinity;
    const isFull = order.length === count;
    if (isFull && key >= highest) continue;
    let at = isFull ? count - 1 : order.length;
    for (; at > 0 && key < keys[at - 1]!; at -= 1) {
      keys[at] = keys[at - 1]!;
      order[at] = order[at - 1]!;
    }
    keys[at] = key;
    order[at] = index;
    highest = keys.at(-1)!;
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

function rest(plan: Chosen, listed: readonly number[]): CandidateRest {
  const { mask, members, eligible } = plan.pool;
  const count = members.length - listed.length;
  const excluded: Record<string, number> = {};
  let scored = 0;
  let notScored = count;
  const scores = plan.choice?.scores;
  if (scores !== undefined) {
    scored = gather(scores, listed);
    notScored -= scored;
  }
  for (let index = 0; eligible < members.length && index < members.length; index += 1) {
    const state = mask[index]!;
    const name = state === EXCLUDED.no ? undefined : EXCLUSION_NAMES[state];
    if (name === undefined || listed.includes(index)) continue;
    excluded[name] = (excluded[name] ?? 0) + 1;
    if (scoreOf(plan, index) === undefined) notScored -= 1;
  }
  return { count, not_scored: notScored, ...(scored === 0 ? {} : spreadOf(unlisted, scored)), excluded };
}

/** Scores of those that are not listed, while they are summed up. */
let unlisted = new Float64Array(0);

/** Fills `unlisted`, and returns how many they are. */
function gather(scores: Float64Array, listed: readonly number[]): number {
  if (unlisted.length < scores.length) unlisted = new Float64Array(scores.length);
  const apart = listed.toSorted((left, right) => left - right);
  let count = 0;
  for (let index = 0, next = 0; index < scores.length; index += 1) {
    const score = scores[index]!;
    if (index === apart[next]) next += 1;
    else if (Number.isFinite(score)) unlisted[count++] = score;
  }
  return count;
}

function spreadOf(scores: Float64Array, count: number): Partial<CandidateRest> {
  let min = Infinity;
  let max = -Infinity;
  for (let at = 0; at < count; at += 1) {
    const score = scores[at]!;
    if (score < min) min = score;
    if (score > max) max = score;
  }
  const median = nthLowest(scores, count >> 1, count);
  return { score_min: roundScore(min), score_median: roundScore(median), score_max: roundScore(max) };
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
