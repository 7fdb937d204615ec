import type { PolicySettings } from '../../config/settings/settings.ts';
import { RouterError, type ErrorCode } from '../../base/errors.ts';
import { normalisePath, originForm, pathOf } from '../../http/normalise-path.ts';
import type { CacheSource, TokensSource } from '../../routing/policy.ts';
import { EXCLUSION_NAMES } from '../../routing/policy.ts';
import { ANYBODY, callerOf, type Caller } from '../arrive/caller.ts';
import { roundScore } from './candidate-columns.ts';
import { describeCandidates, type CandidateTable } from './candidates.ts';
import type { CandidateRecord, Decision, DecisionMethod } from '../record/decision.ts';
import { canonicalTarget, matchEndpoint, type Endpoint, type Match } from '../arrive/endpoints.ts';
import { noWorker } from './no-worker.ts';
import { fallbackOf, pairOf } from '../answer/explain.ts';
import { withHoldings } from './ask-lmcache.ts';
import { staysWithOwner } from './call-pool.ts';
import { prepares } from './deciders.ts';
import type { NoPlan } from './pick.ts';
import { previewPlan, type Preview } from './plan.ts';
import { stageCounts } from './stage-counts.ts';
import { withTokens } from './know-tokens.ts';
import { roundSimilarity, withCluster } from './know-cluster.ts';
import { withKnowledge } from './prepare-policy.ts';
import type { Nearest } from '../../semantic/centroids.ts';
import { understand, type Call, type CallSource } from '../understand/read-call.ts';
import { resolveModel } from '../understand/resolve-model.ts';
import type { Runtime } from '../runtime.ts';

/** A request that is only talked about. */
export interface DryRunRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Flat list of names and values. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** The name of the tenant that makes it; undefined for anybody. */
  readonly tenant: string | undefined;
  /** Another policy than the one in use; it has no memory of its own. */
  readonly policy: PolicySettings | undefined;
}

/** What would have been done with a request, and why. Fields are those of the decision record. */
export type DryRun = DryRunAsked &
  (
    | { readonly outcome: 'answered_by_router' }
    | ({ readonly outcome: 'rejected'; readonly error: DryRunError } & Partial<DryRunTable>)
    | ({ readonly outcome: 'routed' } & DryRunChoice & DryRunTable)
  );

interface DryRunAsked {
  readonly route: string;
  readonly requested_model?: string;
  readonly model?: string;
  readonly rule?: string;
  readonly rule_missed?: string;
  readonly stream?: boolean;
  readonly cluster?: string;
  readonly cluster_similarity?: number;
  /** There are pre-routing hooks, and they would be asked first: they may reject the request or change its body. */
  readonly hooks?: 'not_run';
}

interface DryRunError {
  readonly code: ErrorCode;
  readonly status: number;
  readonly message: string;
}

interface DryRunTable {
  readonly candidates: readonly CandidateRecord[];
  readonly prefill_candidates?: readonly CandidateRecord[];
}

interface DryRunChoice {
  readonly worker: string;
  readonly method: DecisionMethod;
  readonly policy: string;
  readonly policy_fallback?: NonNullable<Decision['policy_fallback']>;
  readonly reason: string;
  readonly margin?: number;
  readonly cache_source: CacheSource;
  readonly predicted_cached_tokens?: number;
  readonly predicted_ttft_ms?: number;
  readonly prompt_tokens?: number;
  readonly tokens_source?: TokensSource;
  readonly hash_key_source?: string;
  readonly pd?: NonNullable<Decision['pd']>;
}

/**
 * The path from `guardRoute` to `makePlan` without its effects: no admission, no lease, nothing sent, nothing counted
 * or recorded, and no policy remembers the request.
 */
export async function dryRun(rt: Runtime, request: DryRunRequest): Promise<DryRun> {
  const written = originForm(request.target);
  const path = normalisePath(pathOf(written));
  const match = matchEndpoint(request.method, path);
  const target = canonicalTarget(match, path, written);
  const { endpoint } = match;
  if (match.kind !== 'endpoint') return rejected({ route: endpoint.route }, refusal(match, request.method));
  if (endpoint.class === 'operator' && !rt.settings.proxyOperatorRoutes)
    return rejected({ route: endpoint.route }, hidden('operator routes need the admin key'));
  if (endpoint.local !== undefined) return { outcome: 'answered_by_router', route: endpoint.route };
  const source: CallSource = {
    target,
    match,
    endpoint,
    req: { rawHeaders: request.headers },
    decision: { stream: false },
    releases: [],
  };
  const about = (): DryRunAsked => ({ ...asked(endpoint, source.decision), ...hooksLeftOut(rt, request) });
  try {
    const read = understand(rt, source, request.body);
    const resolved = resolveModel(rt, source, callerNamed(rt, request.tenant), read);
    const call = request.policy ? { ...resolved, ...tried(rt, request.policy) } : resolved;
    const { signal } = new AbortController();
    await withTokens(rt, endpoint, call);
    if (!staysWithOwner(rt, call)) await withHoldings(rt, call, signal);
    const cluster = staysWithOwner(rt, call) ? undefined : await withCluster(rt, endpoint, call, signal);
    const ready =
      prepares(rt, call) && !staysWithOwner(rt, call) ? await withKnowledge(rt, call, signal) : call;
    return { ...outcomeOf(rt, about(), ready), ...nearestTo(cluster) };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return rejected(about(), error);
  } finally {
    for (const release of source.releases) release();
  }
}

function nearestTo(cluster: Nearest | undefined): Pick<DryRunAsked, 'cluster' | 'cluster_similarity'> {
  return cluster ? { cluster: cluster.name, cluster_similarity: roundSimilarity(cluster.similarity) } : {};
}

function tried({ policies }: Runtime, settings: PolicySettings): Pick<Call, 'policy' | 'halves'> {
  return { policy: policies.trial(settings), halves: policies.trialHalves(settings) };
}

function callerNamed(rt: Runtime, name: string | undefined): Caller {
  const tenant = name === undefined ? undefined : rt.clients.tenants.named(name);
  return tenant ? callerOf(tenant.access) : ANYBODY;
}

function outcomeOf(rt: Runtime, about: DryRunAsked, call: Call): DryRun {
  const plan = previewPlan(rt, call);
  if (plan.kind === 'none')
    return {
      ...rejected(about, noWorker(plan.pool, call, stageCounts(rt, call))),
      candidates: excluded(rt, plan),
    };
  const table = describeCandidates(rt, plan, Infinity);
  return {
    outcome: 'routed',
    ...about,
    ...choiceOf(plan, table, call.ask),
    candidates: table.listed,
    ...(plan.prefill && {
      prefill_candidates: describeCandidates(rt, plan.prefill.picked, Infinity).listed,
    }),
  };
}

function choiceOf(plan: Preview, { margin }: CandidateTable, ask: Call['ask']): DryRunChoice {
  const { predictedCachedTokens, predictedTtftMs, promptTokens } = plan;
  const fallback = fallbackOf(plan);
  const pd = pairOf(plan);
  return {
    worker: plan.pool.members[plan.index]?.id ?? '',
    method: plan.method,
    policy: plan.policy,
    ...(fallback ? { policy_fallback: fallback } : {}),
    reason: plan.reason,
    ...(margin === undefined ? {} : { margin }),
    cache_source: plan.cacheSource,
    ...(predictedCachedTokens === undefined ? {} : { predicted_cached_tokens: predictedCachedTokens }),
    ...(predictedTtftMs === undefined ? {} : { predicted_ttft_ms: roundScore(predictedTtftMs) }),
    ...(promptTokens > 0 ? { prompt_tokens: promptTokens } : {}),
    ...(ask.tokenIds() === undefined ? {} : { tokens_source: ask.tokensSource }),
    ...(ask.usedHashKey ? { hash_key_source: ask.usedHashKey.source } : {}),
    ...(pd && { pd }),
  };
}

/** Every member and what keeps it away, where nobody could be chosen. */
function excluded(rt: Runtime, { pool }: NoPlan): CandidateRecord[] {
  return pool.members.map(({ id, slot }, index) => ({
    worker: id,
    state: EXCLUSION_NAMES[pool.mask[index] ?? 0] ?? 'eligible',
    running: rt.ledger.running(slot),
    prefill_tokens: Math.round(rt.ledger.prefillTokens(slot)),
  }));
}

function asked(
  { route }: Endpoint,
  { stream, model, requested_model: requested, rule, rule_missed: missed }: CallSource['decision'],
): DryRunAsked {
  return {
    route,
    stream,
    ...(requested === undefined ? {} : { requested_model: requested }),
    ...(model === undefined ? {} : { model }),
    ...(rule === undefined ? {} : { rule }),
    ...(missed === undefined ? {} : { rule_missed: missed }),
  };
}

function hooksLeftOut(rt: Runtime, { body }: DryRunRequest): Pick<DryRunAsked, 'hooks'> {
  return rt.settings.hooks.length > 0 && body.length > 0 ? { hooks: 'not_run' } : {};
}

function refusal(match: Match, method: string): RouterError {
  if (match.kind === 'wrong_method')
    return new RouterError('method_not_allowed', `${method} is not offered on ${match.endpoint.route}`);
  if (match.kind === 'outside') return new RouterError('invalid_request', 'the path leads out of its root');
  return hidden("the router's own routes are never proxied");
}

function hidden(why: string): RouterError {
  return new RouterError('route_not_found', why);
}

function rejected(
  about: DryRunAsked,
  { code, spec, message }: RouterError,
): DryRun & { outcome: 'rejected' } {
  return { outcome: 'rejected', ...about, error: { code, status: spec.status, message } };
}
