import { EXCLUDED, EXCLUSION_NAMES } from '../../routing/policy.ts';
import { lowestOf, spreadOf, type Spread } from '../../routing/score-summary.ts';
import type { CandidateRecord, CandidateRest } from '../record/decision.ts';
import { CandidateColumns, roundScore } from './candidate-columns.ts';
import type { Leg } from './leg.ts';
import type { Plan } from './plan.ts';
import type { Runtime } from '../runtime.ts';

/** The candidates of one plan, as the record shows them. */
export interface CandidateTable<Listed = readonly CandidateRecord[]> {
  /** The best scores, best first, and besides them the chosen and the tried. */
  readonly listed: Listed;
  readonly rest: CandidateRest | undefined;
  /** Score of the best other eligible candidate minus the winner's. */
  readonly margin: number | undefined;
}

/** A choice among the members of a pool; a plan, or what would have become one. */
export interface Chosen extends Pick<Plan, 'pool' | 'choice' | 'index'> {
  /** Absent where no lease has been taken. */
  readonly leg?: Leg;
  /** When it was made, monotonic ms; absent = now. */
  readonly now?: number;
}

const LISTED_IN_FULL = 8;
const MANY = 64;

export function describeCandidates(rt: Runtime, plan: Chosen, inFull = LISTED_IN_FULL): CandidateTable {
  const table = tabulateCandidates(rt, plan, inFull);
  return { ...table, listed: table.listed.records() };
}

/** The same for a record that may never be read. */
export function tabulateCandidates(
  rt: Runtime,
  plan: Chosen,
  inFull = LISTED_IN_FULL,
): CandidateTable<CandidateColumns> {
  const { mask, members, eligible } = plan.pool;
  const listed = best(plan, Math.min(members.length, inFull));
  const margin = marginOf(plan, listed);
  if (members.length > inFull) {
    if (plan.index >= 0 && !listed.includes(plan.index)) listed.push(plan.index);
    for (let index = 0; eligible < members.length && index < members.length; index += 1)
      if (mask[index] === EXCLUDED.tried && !listed.includes(index)) listed.push(index);
  }
  const columns = new CandidateColumns(listed.length);
  for (const index of listed) enter(columns, rt, plan, index);
  return {
    listed: columns,
    rest: members.length > listed.length ? rest(plan, listed) : undefined,
    margin,
  };
}

/** Indices of the `count` lowest scores, lowest first; members without a score come behind, in their order. */
function best(plan: Chosen, count: number): number[] {
  const scores = plan.choice?.scores;
  if (scores === undefined) return Array.from({ length: count }, (_, index) => index);
  return count > MANY ? sorted(plan).slice(0, count) : lowestOf(scores, count);
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

function enter(columns: CandidateColumns, rt: Runtime, plan: Chosen, index: number): void {
  const member = plan.pool.members[index];
  const slot = member?.slot ?? 0;
  // The ledger already counts this request on its worker; the record shows what the policy saw.
  const own = index === plan.index ? plan.leg : undefined;
  columns.add(
    member?.id ?? '',
    plan.pool.mask[index] ?? EXCLUDED.no,
    rt.ledger.running(slot) - (own ? 1 : 0),
    rt.ledger.prefillTokens(slot, plan.now) - (own?.uncachedTokens ?? 0),
  );
  columns.rate(scoreOf(plan, index), plan.choice?.matchedTokens?.[index]);
  const { sources, tiers } = plan.choice?.knowledge ?? {};
  if (sources)
    columns.know({ source: sources[index]!, cpu: tiers?.cpu[index] ?? 0, disk: tiers?.disk[index] ?? 0 });
}

function rest(plan: Chosen, listed: readonly number[]): CandidateRest {
  const { mask, members, eligible } = plan.pool;
  const count = members.length - listed.length;
  const excluded: Record<string, number> = {};
  const spread = plan.choice?.scores && spreadOf(plan.choice.scores, listed);
  let notScored = count - (spread?.count ?? 0);
  for (let index = 0; eligible < members.length && index < members.length; index += 1) {
    const state = mask[index]!;
    const name = state === EXCLUDED.no ? undefined : EXCLUSION_NAMES[state];
    if (name === undefined || listed.includes(index)) continue;
    excluded[name] = (excluded[name] ?? 0) + 1;
    if (scoreOf(plan, index) === undefined) notScored -= 1;
  }
  return { count, not_scored: notScored, ...(spread && rounded(spread)), excluded };
}

function rounded({ min, median, max }: Spread): Partial<CandidateRest> {
  return { score_min: roundScore(min), score_median: roundScore(median), score_max: roundScore(max) };
}

function marginOf(plan: Chosen, order: readonly number[]): number | undefined {
  const own = scoreOf(plan, plan.index);
  const runnerUp = order.find((index) => index !== plan.index && plan.pool.mask[index] === EXCLUDED.no);
  const other = runnerUp === undefined ? undefined : scoreOf(plan, runnerUp);
  return own === undefined || other === undefined ? undefined : roundScore(other - own);
}
