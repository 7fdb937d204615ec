import { headerValue } from '../../http/headers.ts';
import { roundScore } from '../choose/candidate-columns.ts';
import { tabulateCandidates } from '../choose/candidates.ts';
import type { PairLeg, Split } from '../choose/pair.ts';
import type { Decision, OpenDecision, PairRecord } from '../record/decision.ts';
import type { Plan } from '../choose/plan.ts';
import type { Runtime } from '../runtime.ts';

/** The explain headers: a stable contract, like the fields of the record they are views of. */
export const HEADER_WORKER = 'x-vllm-router-worker';
export const HEADER_METHOD = 'x-vllm-router-method';
/** Sent only where the worker was chosen for its semantic cluster. */
export const HEADER_CLUSTER = 'x-vllm-router-cluster';
export const HEADER_POLICY = 'x-vllm-router-policy';
export const HEADER_MODEL = 'x-vllm-router-model';
/** Sent where a cache of answers is configured for the route. */
export const HEADER_CACHE_STATUS = 'x-vllm-router-cache-status';
/** Sent only with an answer to a question that meant the same. */
export const HEADER_CACHE_SIMILARITY = 'x-vllm-router-cache-similarity';
/** Sent only where another worker computed the prompt. */
export const HEADER_PREFILL_WORKER = 'x-vllm-router-prefill-worker';
/** Sent only when a pre-routing hook ran. */
export const HEADER_HOOKS = 'x-vllm-router-hooks';
/** Sent only where something is known of the worker's cache: how, and how many tokens of the prompt it is thought to have. */
export const HEADER_CACHE_SOURCE = 'x-vllm-router-cache-source';
/** Which provider outside of the fleet the request was sent to: never without a word, whether explained or not. */
export const HEADER_EXTERNAL = 'x-vllm-router-external';
/** Fields that it was not sent. */
export const HEADER_REMOVED = 'x-vllm-router-external-removed';
export const EXTERNAL_HEADERS = [HEADER_EXTERNAL, HEADER_REMOVED] as const;
export const EXPLAIN_HEADERS = [
  HEADER_WORKER,
  HEADER_PREFILL_WORKER,
  HEADER_METHOD,
  HEADER_CLUSTER,
  HEADER_POLICY,
  HEADER_MODEL,
  HEADER_CACHE_SOURCE,
  HEADER_CACHE_STATUS,
  HEADER_CACHE_SIMILARITY,
  HEADER_HOOKS,
] as const;

/** Appends what is known of the decision to a flat header list. */
export function addExplainHeaders(headers: string[], decision: OpenDecision): void {
  if (decision.worker !== undefined) headers.push(HEADER_WORKER, headerValue(decision.worker));
  const prefill = decision.pd?.prefill_worker;
  if (prefill !== undefined) headers.push(HEADER_PREFILL_WORKER, headerValue(prefill));
  if (decision.method !== undefined) headers.push(HEADER_METHOD, decision.method);
  if (decision.method === 'cluster' && decision.cluster !== undefined)
    headers.push(HEADER_CLUSTER, decision.cluster);
  if (decision.policy !== undefined) headers.push(HEADER_POLICY, headerValue(decision.policy));
  if (decision.model !== undefined) headers.push(HEADER_MODEL, headerValue(decision.model));
  const { cache_source: source, predicted_cached_tokens: tokens } = decision;
  if (source !== undefined && source !== 'none' && tokens !== undefined)
    headers.push(HEADER_CACHE_SOURCE, `${source}; tokens=${Math.round(tokens)}`);
  if (decision.cache_status !== undefined) headers.push(HEADER_CACHE_STATUS, decision.cache_status);
  if (decision.cache_similarity !== undefined)
    headers.push(HEADER_CACHE_SIMILARITY, decision.cache_similarity.toFixed(6));
  if (decision.hooks_ran) headers.push(HEADER_HOOKS, decision.hooks_ran.join(','));
}

/** Appends where outside of the fleet the request went, if it did. */
export function addExternalHeaders(headers: string[], { external }: OpenDecision): void {
  if (!external) return;
  headers.push(HEADER_EXTERNAL, headerValue(external.backend));
  if (external.removed) headers.push(HEADER_REMOVED, headerValue(external.removed.join(',')));
}

/** Writes one plan into the record: the last plan of a request is the one that counts. */
export function recordPlan(rt: Runtime, decision: OpenDecision, plan: Plan): void {
  const { worker } = plan.leg;
  if (decision.worker !== undefined) forgetPlan(decision);
  decision.worker = worker.id;
  decision.method = plan.method;
  decision.reason = plan.reason;
  countFallThrough(rt, decision);
  if (plan.method !== 'owner' && plan.method !== 'external') decision.policy = plan.policy;
  const fallback = fallbackOf(plan);
  if (fallback) decision.policy_fallback = fallback;
  decision.cache_source = plan.cacheSource;
  if (plan.predictedCachedTokens !== undefined) decision.predicted_cached_tokens = plan.predictedCachedTokens;
  if (plan.predictedTtftMs !== undefined) decision.predicted_ttft_ms = roundScore(plan.predictedTtftMs);
  const pd = pairOf(plan);
  if (pd) decision.pd = pd;
  recordHashKey(rt, decision, plan);
  const { listed, rest, margin } = tabulateCandidates(rt, plan, rt.settings.decisionLog?.candidates);
  decision.candidates = listed;
  if (rest) decision.candidates_rest = rest;
  if (plan.prefill)
    decision.prefill_candidates = tabulateCandidates(
      rt,
      { ...plan.prefill.picked, leg: plan.prefill.leg, now: plan.now },
      rt.settings.decisionLog?.candidates,
    ).listed;
  if (margin !== undefined) decision.margin = margin;
}

/** Once: what is tried again later has fallen through, or has not, with its first attempt. */
function countFallThrough(rt: Runtime, { cluster, method, attempts, route }: OpenDecision): void {
  if (cluster === undefined || method === 'cluster' || attempts.length > 0) return;
  rt.metrics.clusterFallbackTotal.with(route).inc();
}

/** Whether the request goes through two workers, and which one computes the prompt; undefined where nobody could have asked. */
export function pairOf({
  split,
  prefill,
}: {
  readonly split: Split | undefined;
  readonly prefill: Pick<PairLeg, 'picked' | 'connector'> | undefined;
}): PairRecord | undefined {
  if (!split) return undefined;
  const { isSplit, reason, unready, pairMs, wholeMs } = split;
  return {
    split: isSplit,
    reason,
    ...(unready !== undefined && { unready }),
    ...(pairMs !== undefined && { pair_ms: roundScore(pairMs) }),
    ...(wholeMs !== undefined && { whole_ms: roundScore(wholeMs) }),
    ...(prefill && {
      prefill_worker: prefill.picked.worker.id,
      prefill_policy: prefill.picked.policy,
      prefill_reason: prefill.picked.reason,
      connector: prefill.connector.name,
    }),
  };
}

/** Writes what the worker told into the record, and how far off the plan was. */
export function recordCached(decision: OpenDecision, actual: number): void {
  decision.actual_cached_tokens = actual;
  const { predicted_cached_tokens: predicted } = decision;
  if (predicted !== undefined) decision.cached_tokens_error = roundScore(predicted - actual);
}

/** What only an earlier attempt's plan had must not stay. */
function forgetPlan(decision: OpenDecision): void {
  delete decision.policy;
  delete decision.policy_fallback;
  delete decision.predicted_cached_tokens;
  delete decision.predicted_ttft_ms;
  delete decision.candidates_rest;
  delete decision.prefill_candidates;
  delete decision.margin;
  delete decision.pd;
  delete decision.external;
}

/** Whose place the policy took that decided, and why. */
export function fallbackOf({ choice, asked }: Pick<Plan, 'choice' | 'asked'>): Decision['policy_fallback'] {
  return choice?.fallback && { from: asked, cause: choice.fallback.cause };
}

function recordHashKey(rt: Runtime, decision: OpenDecision, plan: Plan): void {
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
