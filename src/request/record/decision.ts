/** The record of one request: what was asked, what was known, what was chosen, why, and what came of it. */
import type { PriorityClass } from '../../config/settings/settings.ts';
import type { CacheSource, Fallback, TokensSource } from '../../routing/policy.ts';

/** Who chose: the words of `x-vllm-router-method`. */
export type DecisionMethod =
  'policy' | 'owner' | 'lmcache-prefix' | 'cluster' | 'cache-hit' | 'semantic-hit' | 'external';

/** What a cache of answers had to say, where one is configured for the route: the words of `x-vllm-router-cache-status`. */
export type CacheStatus = 'exact-hit' | 'semantic-hit' | 'miss' | 'bypass';

export type Outcome = 'ok' | 'client_abort' | 'worker_broken' | 'rejected' | 'router_error';

export interface CandidateRecord {
  readonly worker: string;
  /** `eligible` or why not. */
  readonly state: string;
  /** Lower is better; absent where the policy computed none. */
  readonly score?: number;
  readonly running: number;
  readonly prefill_tokens: number;
  readonly matched_tokens?: number;
  /** How they are known; absent where all candidates' are predicted. */
  readonly matched_source?: CacheSource;
  /** Where they lie, where not all are in the memory of its GPU. */
  readonly matched_tiers?: { readonly gpu: number; readonly cpu: number; readonly disk: number };
}

/** Candidates that nobody has looked at yet. */
export interface RecordedLater {
  readonly length: number;
  records(): readonly CandidateRecord[];
}

/** A record while its request is under way, and until somebody reads it. */
export interface OpenDecision extends Omit<Decision, 'candidates' | 'prefill_candidates'> {
  candidates?: readonly CandidateRecord[] | RecordedLater;
  prefill_candidates?: readonly CandidateRecord[] | RecordedLater;
}

/** Which records somebody wants to see: the latest of those that everything given here is true of. */
export interface DecisionQuery {
  /** How many at most. */
  readonly limit: number;
  /** A worker that got one of the attempts. */
  readonly worker?: string | undefined;
  /** The model asked for or resolved to. */
  readonly model?: string | undefined;
  /** Begun at this time or later, ms since 1970. */
  readonly since?: number | undefined;
}

/** A duration for the record: digits below a microsecond are noise. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** The candidates that are not listed in full. */
export interface CandidateRest {
  readonly count: number;
  /** Those that could have been chosen and got no score: the policy needed none of them. */
  readonly not_scored: number;
  /** Of those that have a score. */
  readonly score_min?: number;
  readonly score_median?: number;
  readonly score_max?: number;
  /** Members by exclusion, e.g. `{unhealthy: 2}`; the eligible are not counted here. */
  readonly excluded: Readonly<Record<string, number>>;
}

/** What was thought and done where a prompt could be computed by another worker than the one that answers. */
export interface PairRecord {
  /** Whether the request went through two workers. */
  split: boolean;
  /** Why, or why not. */
  reason: string;
  /** With `no_pair_ready`: what keeps the first pair that might have been chosen. */
  unready?: string;
  /** What either way was expected to cost, ms: the time to the first token, and what others are delayed by; absent where nobody could be compared. */
  pair_ms?: number;
  whole_ms?: number;
  /** The rest only where it was split. Who computed the prompt, and why that one. */
  prefill_worker?: string;
  prefill_policy?: string;
  prefill_reason?: string;
  connector?: string;
  /** From dispatch to the end of the prefill worker's answer, ms. */
  prefill_ms?: number;
  /** Set where the decode worker computed the prompt after all: its blocks were not kept (`no_params`), or did not arrive. */
  unhanded?: string;
  /** From the decode worker's dispatch, or the end of prefill where that is later, to its first byte, ms. */
  fetch_ms?: number;
}

/** What was done with a request that left the fleet. */
export interface ExternalRecord {
  /** By the name that the configuration gives it. */
  readonly backend: string;
  /** Pattern of the rule that led there; absent where everything goes there. */
  readonly rule?: string;
  /** Fields that only vLLM knows, which it was not sent. */
  readonly removed?: readonly string[];
}

export interface AttemptRecord {
  readonly worker: string;
  /** Which part of the request it was to do; absent where all of it. */
  role?: 'prefill' | 'decode';
  readonly reason: string;
  /** Status of the worker's response head, if one came. */
  status?: number;
  /** Error code of the catalogue, if the attempt failed without one or after it. */
  error?: string;
  /** From dispatch to the end of the attempt, ms. */
  duration_ms: number;
  /** Whether a dead kept-alive connection was replaced and the request sent again. */
  resent?: true;
  /** Whether the request was put in OpenAI's words, for a worker that does not know Anthropic's. */
  translated?: true;
}

/**
 * Field names are those of the decision log, schema version 5: every field of version 4 keeps its name and meaning.
 * Durations in ms, sizes in bytes.
 */
export interface Decision {
  readonly schema_version: 5;
  /** RFC 3339, UTC, ms. */
  readonly timestamp: string;
  readonly request_id: string;
  readonly http_method: string;
  /** The endpoint's path template, or `unmatched`. */
  route: string;
  /** What was sent; 499 if the client left before the head. */
  status: number;
  outcome: Outcome;
  /** Error code of the catalogue when the router made the answer or cut it. */
  error?: string;
  stream: boolean;
  /** Whose key the request came with. */
  tenant?: string;
  /** The model asked for. */
  requested_model?: string;
  /** The model after resolution. */
  model?: string;
  /** Pattern of the model rule that decided. */
  rule?: string;
  /** Pattern of the last model rule that matched but had no worker for any of its models. */
  rule_missed?: string;
  method?: DecisionMethod;
  policy?: string;
  /** Where another policy was asked but `policy` decided in its place: which, and why. */
  policy_fallback?: { readonly from: string; readonly cause: Fallback['cause'] };
  worker?: string;
  reason?: string;
  /** The semantic cluster that it belongs to; `method` says whether one of its workers was chosen for that. */
  cluster?: string;
  /** Cosine of the request and the middle of the nearest cluster. */
  cluster_similarity?: number;
  /** Where the request went to a provider outside of the fleet. */
  external?: ExternalRecord;
  /** Score of the best other candidate minus the winner's. */
  margin?: number;
  /** How the cache of the worker that was chosen is known. */
  cache_source?: CacheSource;
  hash_key_source?: string;
  /** Only where there are prefill workers. `worker`, `policy`, `reason` and `candidates` are of the worker that answers, `cache_source` and the cached tokens of the one that computes the prompt. */
  pd?: PairRecord;
  candidates?: readonly CandidateRecord[];
  candidates_rest?: CandidateRest;
  /** The best of those that could have computed the prompt, where that was another one. */
  prefill_candidates?: readonly CandidateRecord[];
  attempts: AttemptRecord[];
  predicted_cached_tokens?: number;
  actual_cached_tokens?: number;
  /** Predicted minus actual. */
  cached_tokens_error?: number;
  predicted_ttft_ms?: number;
  ttft_ms?: number;
  prompt_tokens?: number;
  completion_tokens?: number;
  /** True where the token counts are the router's estimates rather than the worker's `usage`. */
  tokens_estimated?: boolean;
  /** What the tenant was charged. */
  charged_tokens?: number;
  /** Absent for `normal`. */
  priority_class?: PriorityClass;
  queue_ms: number;
  /** Waiting for a worker that could take the request; absent where it did not. */
  wait_ms?: number;
  /** Time to the head for streams, else to the end: the meaning of version 3. */
  duration_ms: number;
  total_ms: number;
  /** The pre-routing hooks that were asked and what they said, in order; absent where there were none. */
  hooks_ran?: string[];
  /** Spent waiting for hooks. */
  hooks_ms?: number;
  /** Where the token ids of the prompt were from; `estimate`: they were asked for in vain. Absent where nobody asked. */
  tokens_source?: TokensSource;
  /** Spent waiting for them. */
  tokenize_ms?: number;
  /** Spent waiting for what the policy looked up: a plugin's, or LMCache's controller. */
  prepare_ms?: number;
  /** What the cache of answers had; absent where there is none for the route. */
  cache_status?: CacheStatus;
  /** With `bypass`: why it was not asked. */
  cache_bypass?: string;
  /** With `semantic-hit`: cosine of what was asked and what was answered before. */
  cache_similarity?: number;
  /** How old the stored answer is that was sent. */
  cache_age_ms?: number;
  /** It came for another request, which this one waited for. */
  cache_shared?: true;
  /** Spent looking for a stored answer and waiting for somebody else's. */
  cache_ms?: number;
  /** The router's own work up to the dispatch: without the client's body, hooks, the queue, plugins' look-ups and backoff. */
  overhead_ms?: number;
  request_bytes: number;
  response_bytes: number;
}

/** The same record, for reading. */
export function readable(decision: OpenDecision): Decision {
  const { candidates, prefill_candidates: prefill } = decision;
  if (candidates !== undefined && 'records' in candidates) decision.candidates = candidates.records();
  if (prefill !== undefined && 'records' in prefill) decision.prefill_candidates = prefill.records();
  // All that told the two apart.
  return decision as Decision;
}

/** The part of a record that is made from the prompt; only the decision log has it. */
export interface RecordedPrompt {
  /** See `encodeBlockHashes`. */
  readonly block_hashes?: string;
  /** Tokens that one of these hashes stands for. */
  readonly block_tokens?: number;
  readonly request_text?: string;
}

/** A line of the decision log. */
export type LoggedDecision = Decision & RecordedPrompt;
