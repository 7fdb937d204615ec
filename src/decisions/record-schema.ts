import * as z from 'zod';
import { CACHE_SOURCES } from '../routing/policy.ts';
import type { LoggedDecision } from '../request/record/decision.ts';

const text = z.string();
const whole = z.int().min(0);
const ms = z.number().min(0);
const tokens = z.number().min(0);

const candidate = z.strictObject({
  worker: text.describe('URL, with `@rank` for a data-parallel rank.'),
  state: text.describe('`eligible`, or why not.'),
  score: z.number().describe('Lower is better; absent where the policy computed none.').optional(),
  running: whole.describe('Requests there, this one left out.'),
  prefill_tokens: tokens.describe('Prompt tokens sent there whose first token had not come.'),
  matched_tokens: tokens.describe('Leading prompt tokens that it was thought to have cached.').optional(),
  matched_source: z
    .enum(CACHE_SOURCES)
    .describe("How that was known; absent where all candidates' tokens were predicted.")
    .optional(),
  matched_tiers: z
    .strictObject({ gpu: tokens, cpu: tokens, disk: tokens })
    .describe('Where these tokens lie, where not all are in the memory of its GPU.')
    .optional(),
});

const rest = z.strictObject({
  count: whole,
  not_scored: whole.describe('How many could have been chosen and got no score.'),
  score_min: z.number().describe('Of those that have a score, as the next two.').optional(),
  score_median: z.number().optional(),
  score_max: z.number().optional(),
  excluded: z.record(text, whole).describe('How many could not be chosen, by reason.'),
});

const attempt = z.strictObject({
  worker: text,
  role: z.enum(['prefill', 'decode']).describe('Its part of the request; absent: all of it.').optional(),
  reason: text.describe('Why this worker.'),
  status: whole.describe("Of the worker's answer, if one came.").optional(),
  error: text.describe('Error code, where the attempt failed without an answer or after it.').optional(),
  duration_ms: ms.describe('From dispatch to the end of the attempt.'),
  resent: z.literal(true).describe('A dead kept-alive connection was replaced.').optional(),
  translated: z.literal(true).describe('It was put in the words of another API.').optional(),
});

/** Every field of a record. A field that the code writes and this lacks, or the other way round, does not compile. */
const FIELDS = {
  schema_version: z.literal(5).describe('5; records of others that lack it are of version 1.'),
  timestamp: z.iso.datetime().describe('When the request came: RFC 3339, UTC, ms.'),
  request_id: text.describe("The client's `x-request-id`, else one the router made."),
  http_method: text.describe('Method of the request.'),
  route: text.describe('Path template of the endpoint, or `unmatched`.'),
  status: whole.describe('What was sent; 499 if the client left before the head.'),
  outcome: z
    .enum(['ok', 'client_abort', 'worker_broken', 'rejected', 'router_error'])
    .describe('How it ended.'),
  error: text.describe("The router's error code, where it made the answer or cut it.").optional(),
  stream: z.boolean().describe('Whether a stream was asked for.'),
  tenant: text.describe('Whose key the request came with.').optional(),
  requested_model: text.describe('The model asked for.').optional(),
  model: text.describe('The model after the rules.').optional(),
  rule: text.describe('Pattern of the model rule that decided.').optional(),
  rule_missed: text.describe('Pattern of the last rule that matched and had no worker.').optional(),
  method: z
    .enum(['policy', 'owner', 'lmcache-prefix', 'cluster', 'cache-hit', 'semantic-hit', 'external'])
    .describe('Who chose.')
    .optional(),
  policy: text.describe('The policy that chose.').optional(),
  policy_fallback: z
    .strictObject({ from: text, cause: z.enum(['threw', 'timeout', 'invalid', 'overrun', 'no_knowledge']) })
    .describe('Another policy was asked, and `policy` decided in its place.')
    .optional(),
  worker: text.describe('URL of the worker chosen last.').optional(),
  reason: text.describe('Why this worker.').optional(),
  cluster: text
    .describe(
      'The semantic cluster that it belongs to. Where `method` is not `cluster`, none of its workers could take it.',
    )
    .optional(),
  cluster_similarity: z
    .number()
    .describe('Cosine of what it asks for and the middle of the nearest cluster.')
    .optional(),
  external: z
    .strictObject({
      backend: text.describe('Its name.'),
      rule: text
        .describe('Pattern of the rule that led there; absent where everything goes there.')
        .optional(),
      removed: z
        .array(text)
        .readonly()
        .describe('Fields that only vLLM knows, which it was not sent.')
        .optional(),
    })
    .describe('The external backend that it went to; absent where it stayed in the fleet.')
    .optional(),
  margin: z.number().describe("Score of the best other candidate minus the winner's.").optional(),
  cache_source: z.enum(CACHE_SOURCES).describe('How the cache of the worker was known.').optional(),
  hash_key_source: text.describe('Where the hash key came from.').optional(),
  pd: z
    .strictObject({
      split: z.boolean().describe('Whether it went through two workers.'),
      reason: text.describe('Why, or why not.'),
      unready: text.describe('With no_pair_ready: what kept a pair from handing over.').optional(),
      pair_ms: ms
        .describe(
          'Expected cost through a pair: the time to the first token, and what others are delayed by.',
        )
        .optional(),
      whole_ms: ms.describe('The same on one worker.').optional(),
      prefill_worker: text.describe('Who computed the prompt.').optional(),
      prefill_policy: text.optional(),
      prefill_reason: text.optional(),
      connector: text.optional(),
      prefill_ms: ms.describe("From dispatch to the end of the prefill worker's answer.").optional(),
      unhanded: text
        .describe(
          'Why the decode worker computed the prompt after all: no_params (none were kept), handover (they did not arrive).',
        )
        .optional(),
      fetch_ms: ms
        .describe("From the end of prefill to the first byte of the decode worker's answer.")
        .optional(),
    })
    .describe('How a pair of workers served it, or why none did; only where there are prefill workers.')
    .optional(),
  candidates: z.array(candidate).readonly().describe('The best candidates and those tried.').optional(),
  candidates_rest: rest.describe('The other candidates, in numbers.').optional(),
  prefill_candidates: z
    .array(candidate)
    .readonly()
    .describe('The best of those that could have computed the prompt, where that was another worker.')
    .optional(),
  attempts: z.array(attempt).describe('Every worker the request was sent to, in order.'),
  predicted_cached_tokens: tokens.describe('Cached prompt tokens expected there.').optional(),
  actual_cached_tokens: tokens.describe('Cached prompt tokens the worker told.').optional(),
  cached_tokens_error: z
    .number()
    .describe('The former minus the latter, where both are known: above 0, more was expected than there was.')
    .optional(),
  predicted_ttft_ms: ms.describe('Time to the first token expected there.').optional(),
  ttft_ms: ms.describe('Time to the first token; for an answer in one piece, to its first byte.').optional(),
  prompt_tokens: tokens.describe('Length of the prompt.').optional(),
  completion_tokens: tokens.describe('Length of the answer.').optional(),
  tokens_estimated: z
    .boolean()
    .describe("True where the counts are not, or not all, the worker's; then so is what was charged.")
    .optional(),
  charged_tokens: tokens.describe("What was spent of the tenant's tokens.").optional(),
  priority_class: z
    .enum(['high', 'normal', 'low'])
    .describe('Class in the queue; absent for `normal`.')
    .optional(),
  queue_ms: ms.describe('Waiting in the admission queue.'),
  wait_ms: ms.describe('Waiting for a worker that could take it.').optional(),
  duration_ms: ms.describe('To the head for streams, else to the end.'),
  total_ms: ms.describe('To the end.'),
  hooks_ran: z.array(text).describe('What the pre-routing hooks said, in order.').optional(),
  hooks_ms: ms.describe('Waiting for hooks.').optional(),
  tokens_source: z
    .enum(['request', 'cache', 'local', 'worker', 'estimate'])
    .describe('Where the token ids of the prompt were from, where they were asked for.')
    .optional(),
  tokenize_ms: ms.describe('Waiting for the token ids of the prompt.').optional(),
  prepare_ms: ms
    .describe("Waiting for what the policy looked up: a plugin's, or LMCache's controller.")
    .optional(),
  cache_status: z
    .enum(['exact-hit', 'semantic-hit', 'miss', 'bypass'])
    .describe('What the cache of answers had, where one is configured for the route.')
    .optional(),
  cache_bypass: text
    .describe('With bypass: why it was not asked: client, sampled, unreadable, too_long, not_repeatable.')
    .optional(),
  cache_similarity: z
    .number()
    .describe('With semantic-hit: cosine of what was asked and what was answered before.')
    .optional(),
  cache_age_ms: ms.describe('Age of the stored answer that was sent.').optional(),
  cache_shared: z
    .literal(true)
    .describe('It came for another request, which this one waited for.')
    .optional(),
  cache_ms: ms.describe("Looking for a stored answer, and waiting for somebody else's.").optional(),
  overhead_ms: ms.describe("The router's own work up to the dispatch.").optional(),
  request_bytes: whole.describe("Size of the request's body."),
  response_bytes: whole.describe("Size of the answer's body."),
  block_hashes: z
    .base64()
    .describe('One 64-bit hash per `block_tokens` of the prompt, chained, little-endian, in base64.')
    .optional(),
  block_tokens: z.number().positive().describe('Tokens that one of these hashes stands for.').optional(),
  request_text: text.describe('The prompt, its first 64 KiB; only where asked for.').optional(),
} satisfies Readonly<Record<keyof LoggedDecision, z.ZodType>>;

/** A line of the decision log as this version writes it; fields it does not name are mistakes. */
export const recordSchema = z.strictObject(FIELDS);

/** The JSON schema (draft 2020-12) of a record. Later fields do not make a record invalid under it. */
export function recordJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(z.object(FIELDS), { io: 'input' });
  return { $schema, title: 'vllm-router decision record, version 5', ...schema };
}

export interface RecordField {
  readonly name: string;
  readonly about: string;
  readonly always: boolean;
}

/** The fields in order, for the reference page. */
export function recordFields(): readonly RecordField[] {
  return Object.entries<z.ZodType>(FIELDS).map(([name, type]) => ({
    name,
    about:
      (type instanceof z.ZodOptional ? z.globalRegistry.get(type.unwrap()) : type.meta())?.description ?? '',
    always: !(type instanceof z.ZodOptional),
  }));
}
