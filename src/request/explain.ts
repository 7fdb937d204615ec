import { headerValue } from '../http/headers.ts';
import { EXCLUDED, EXCLUSION_NAMES } from '../routing/policy.ts';
import type { CandidateRecord, CandidateRest, Decision } from './decision.ts';
import type { Plan } from './plan.ts';
import type { Runtime } from './runtime.ts';

/** The explain headers: a stable contract, like the fields of the record they are views of. */
export const HEADER_WORKER = 'x-vllm-router-worker';
export const HEADER_METHOD = 'x-vllm-router-method';
export const HEADER_POLICY = 'x-vllm-router-policy';
export const HEADER_MODEL = 'x-vllm-router-model';
/** Sent only when a response cache was consulted. */
export const HEADER_CACHE_STATUS = 'x-vllm-router-cache-status';
/** Sent only when a pre-routing hook ran. */
export const HEADER_HOOKS = 'x-vllm-router-hooks';
export const EXPLAIN_HEADERS = [
  HEADER_WORKER,
  HEADER_METHOD,
  HEADER_POLICY,
  HEADER_MODEL,
  HEADER_CACHE_STATUS,
  HEADER_HOOKS,
] as const;

/** Appends what is known of the decision to a flat header list. */
export function addExplainHeaders(headers: string[], decision: Decision): void {
  if (decision.worker !== undefined) headers.push(HEADER_WORKER, headerValue(decision.worker));
  if (decision.method !== undefined) headers.push(HEADER_METHOD, decision.method);
  if (decision.policy !== undefined) headers.push(HEADER_POLICY, headerValue(decision.policy));
  if (decision.model !== undefined) headers.push(HEADER_MODEL, headerValue(decision.model));
}

const LISTED_IN_FULL = 8;

/** Writes one plan into the record: the last plan of a request is the one that counts. */
export function recordPlan(rt: Runtime, decision: Decision, plan: Plan): void {
  const { worker } = plan.legs[0];
  decision.worker = worker.id;
  decision.method = plan.method;
  decision.reason = plan.reason;
  if (plan.method === 'policy') decision.policy = rt.policy.name;
  else delete decision.policy;
  decision.cache_source = rt.cacheIndex ? 'predicted' : 'none';
  if (plan.predictedCachedTokens !== undefined) decision.predicted_cached_tokens = plan.predictedCachedTokens;
  if (plan.predictedTtftMs !== undefined) decision.predicted_ttft_ms = round(plan.predictedTtftMs);
  recordHashKey(rt, decision, plan);
  const order = ranked(plan);
  const listed = order.slice(0, LISTED_IN_FULL);
  for (const [index] of plan.pool.members.entries()) {
    const wanted = index === plan.index || plan.pool.mask[index] === EXCLUDED.tried;
    if (order.length > LISTED_IN_FULL && wanted && !listed.includes(index)) listed.push(index);
  }
  decision.candidates = listed.map((index) => candidate(rt, plan, index));
  if (order.length > listed.length) decision.candidates_rest = rest(plan, order, listed);
  const margin = marginOf(plan, order);
  if (margin !== undefined) decision.margin = margin;
}

function recordHashKey(rt: Runtime, decision: Decision, plan: Plan): void {
  const key = plan.hashKey;
  if (!key || decision.hash_key_source !== undefined) return;
  decision.hash_key_source = key.source;
  const fresh = rt.freshIds.note(key);
  if (!fresh) return;
  rt.log.warn(
    { source: fresh.source, share: fresh.share },
    'nearly every hash key is an id seen once: requests are spread as if at random; remove the source from hash_key',
  );
}

/** Members, best score first; those without a score keep their place behind. */
function ranked(plan: Plan): number[] {
  const order = plan.pool.members.map((_, index) => index);
  const scores = plan.choice?.scores;
  if (!scores) return order;
  const key = (index: number): number => {
    const score = scores[index];
    return score === undefined || Number.isNaN(score) ? Infinity : score;
  };
  return order.sort((a, b) => (key(a) === key(b) ? a - b : key(a) - key(b)));
}

function candidate(rt: Runtime, plan: Plan, index: number): CandidateRecord {
  const member = plan.pool.members[index];
  const slot = member?.slot ?? 0;
  const score = scoreOf(plan, index);
  const matched = plan.choice?.matchedTokens?.[index];
  // The ledger already counts this request on its worker; the record shows what the policy saw.
  const own = index === plan.index ? plan.legs[0] : undefined;
  return {
    worker: member?.id ?? '',
    state: EXCLUSION_NAMES[plan.pool.mask[index] ?? 0] ?? 'eligible',
    ...(score === undefined ? {} : { score: round(score) }),
    running: rt.ledger.running(slot) - (own ? 1 : 0),
    prefill_tokens: Math.max(0, Math.round(rt.ledger.prefillTokens(slot) - (own?.uncachedTokens ?? 0))),
    ...(matched === undefined || Number.isNaN(matched) ? {} : { matched_tokens: Math.round(matched) }),
  };
}

function rest(plan: Plan, order: readonly number[], listed: readonly number[]): CandidateRest {
  const others = order.filter((index) => !listed.includes(index));
  const scores = others.map((index) => scoreOf(plan, index)).filter((score) => score !== undefined);
  const excluded: Record<string, number> = {};
  for (const index of others) {
    const state = plan.pool.mask[index] ?? 0;
    const name = EXCLUSION_NAMES[state];
    if (state !== EXCLUDED.no && name !== undefined) excluded[name] = (excluded[name] ?? 0) + 1;
  }
  const [min, median, max] = [scores[0], scores[scores.length >> 1], scores[scores.length - 1]];
  return {
    count: others.length,
    ...(min === undefined || median === undefined || max === undefined
      ? {}
      : { score_min: round(min), score_median: round(median), score_max: round(max) }),
    excluded,
  };
}

function marginOf(plan: Plan, order: readonly number[]): number | undefined {
  const own = scoreOf(plan, plan.index);
  const runnerUp = order.find((index) => index !== plan.index && plan.pool.mask[index] === EXCLUDED.no);
  const other = runnerUp === undefined ? undefined : scoreOf(plan, runnerUp);
  return own === undefined || other === undefined ? undefined : round(other - own);
}

function scoreOf(plan: Plan, index: number): number | undefined {
  const score = plan.choice?.scores?.[index];
  return score === undefined || !Number.isFinite(score) ? undefined : score;
}

function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
