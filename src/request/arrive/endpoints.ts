import { AS_CHAT, AS_COUNT } from '../../api/anthropic/translated.ts';
import {
  batchPrompt,
  chatPrompt,
  completionPrompt,
  embedPrompt,
  generatePrompt,
  inputPrompt,
  invocationPrompt,
  messagesPrompt,
  pairPrompt,
  responsesPrompt,
  tokenizePrompt,
  type PromptReader,
} from '../../api/prompts.ts';
import { pathOf } from '../../http/normalise-path.ts';
import { isOwnPath } from '../../http/own-paths.ts';

import type { Endpoint, LocalName } from './endpoint.ts';

export type { CachedForm, Endpoint, EndpointClass, LocalName } from './endpoint.ts';
export { normalisePath } from '../../http/normalise-path.ts';

/** Every endpoint, as data. */
export interface EndpointRow extends Endpoint {
  readonly methods: readonly string[];
  /** Exact path, or a template with one `{id}` segment. */
  readonly paths: readonly string[];
  /** Of a local path: only these methods are the router's, others go to a worker as on an unknown path. */
  readonly otherMethods?: 'proxied';
  /** The `{id}` of its path may have slashes in it, as names of models do. */
  readonly slashes?: true;
}

function inference(path: string, prompt: PromptReader, more: Partial<EndpointRow> = {}): EndpointRow {
  return {
    methods: ['POST'],
    paths: [path],
    route: path,
    class: 'inference',
    dialect: 'openai',
    retry: 'full',
    body: 'json',
    prompt,
    ...more,
  };
}

function form(path: string): EndpointRow {
  return {
    methods: ['POST'],
    paths: [path],
    route: path,
    class: 'inference',
    dialect: 'openai',
    retry: 'full',
    body: 'form',
    external: true,
  };
}

function local(path: string, name: LocalName, more: Partial<EndpointRow> = {}): EndpointRow {
  return {
    methods: ['GET', 'HEAD'],
    paths: [path],
    route: path,
    class: 'local',
    dialect: 'openai',
    retry: 'full',
    body: 'opaque',
    local: name,
    ...more,
  };
}

function stored(methods: readonly string[], path: string): EndpointRow {
  return {
    methods,
    paths: [path],
    route: path,
    class: 'inference',
    dialect: 'openai',
    body: 'opaque',
    resource: 'by_id',
    external: true,
    retry: methods.includes('GET') ? 'full' : 'connect',
  };
}

const GENERATES = { tokens: 'prompt_and_answer' } as const;
const COMPLETES = { ...GENERATES, handoff: 'max_tokens', external: true } as const;
const READS = { tokens: 'prompt' } as const;
const KEPT = { ...READS, cached: 'whole' } as const;

const ROWS: readonly EndpointRow[] = [
  inference('/v1/chat/completions', chatPrompt, {
    ...{ ...COMPLETES, tokenRoute: 'chat', streamOptions: true, cached: 'chat' },
  }),
  inference('/v1/completions', completionPrompt, {
    ...{ ...COMPLETES, tokenRoute: 'completion', streamOptions: true, cached: 'completion' },
  }),
  inference('/v1/chat/completions/batch', batchPrompt, GENERATES),
  inference('/v1/embeddings', inputPrompt, { ...KEPT, external: true }),
  inference('/v2/embed', embedPrompt, KEPT),
  // `response.created` and `response.in_progress`.
  inference('/v1/responses', responsesPrompt, {
    ...{
      ...GENERATES,
      tokenRoute: 'responses',
      handoff: 'max_output_tokens',
      resource: 'create',
      preamble: 2,
      external: true,
    },
  }),
  stored(['GET'], '/v1/responses/{id}'),
  stored(['DELETE'], '/v1/responses/{id}'),
  stored(['POST'], '/v1/responses/{id}/cancel'),
  stored(['GET'], '/v1/responses/{id}/input_items'),
  stored(['GET'], '/v1/responses/{id}/input'),
  inference('/v1/messages', messagesPrompt, {
    ...{ ...COMPLETES, tokenRoute: 'messages', dialect: 'anthropic', translated: AS_CHAT },
  }),
  inference('/v1/messages/count_tokens', messagesPrompt, { dialect: 'anthropic', translated: AS_COUNT }),
  inference('/v1/rerank', pairPrompt, { ...KEPT, paths: ['/v1/rerank', '/rerank', '/v2/rerank'] }),
  inference('/v1/score', pairPrompt, { ...KEPT, paths: ['/v1/score', '/score'] }),
  inference('/classify', inputPrompt, READS),
  inference('/pooling', inputPrompt, READS),
  inference('/tokenize', tokenizePrompt),
  inference('/detokenize', tokenizePrompt),
  inference('/generate', generatePrompt, { ...GENERATES, tokenIds: true }),
  inference('/inference/v1/generate', generatePrompt, {
    ...{ ...GENERATES, tokenRoute: 'generate', handoff: 'sampling_params', tokenIds: true },
  }),
  inference('/generative_scoring', pairPrompt, READS),
  inference('/invocations', invocationPrompt, { ...GENERATES, streamOptions: true }),
  inference('/v1/chat/completions/render', chatPrompt),
  inference('/v1/completions/render', completionPrompt),
  inference('/v1/responses/render', responsesPrompt),
  inference('/v1/messages/render', messagesPrompt, { dialect: 'anthropic' }),
  inference('/v1/chat/completions/derender', tokenizePrompt),
  inference('/v1/completions/derender', tokenizePrompt),
  form('/v1/audio/transcriptions'),
  form('/v1/audio/translations'),
  local('/', 'home', { open: true, otherMethods: 'proxied' }),
  local('/v1/models', 'models'),
  local('/v1/models/{id}', 'model', { slashes: true }),
  local('/health', 'health', { open: true }),
  local('/liveness', 'liveness', { open: true }),
  local('/readiness', 'readiness', { open: true }),
  local('/health_generate', 'health_generate', { open: true }),
  local('/version', 'version'),
  local('/get_server_info', 'server_info'),
  local('/get_model_info', 'model_info'),
];

/** What is in no row: proxied by the same path, whatever its method and body. */
const UNMATCHED: Endpoint = {
  route: 'unmatched',
  class: 'inference',
  dialect: 'openai',
  retry: 'connect',
  body: 'opaque',
};
/** GET and HEAD change nothing on a worker, so they may be tried again in full. */
const UNMATCHED_SAFE: Endpoint = { ...UNMATCHED, retry: 'full' };
/** What changes, stops or reveals a worker, with everything below it: vLLM serves `/metrics/` and `/docs/...`, too. */
const OPERATOR: readonly Endpoint[] = [
  '/sleep',
  '/wake_up',
  '/is_sleeping',
  '/release_kv_cache_memory',
  '/pause',
  '/resume',
  '/is_paused',
  '/abort_requests',
  // One client could end another's stream.
  '/inference/v1/abort_requests',
  '/collective_rpc',
  '/init_weight_transfer_engine',
  '/shutdown_weight_transfer_engine',
  '/init_weights_update_group',
  '/start_weight_update',
  '/start_draft_weight_update',
  '/update_weights',
  '/finish_weight_update',
  '/update_weight_version',
  '/weight_info',
  '/weight_checker',
  '/get_world_size',
  '/scale_elastic_ep',
  '/is_scaling_elastic_ep',
  '/fault_tolerance',
  '/start_profile',
  '/stop_profile',
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
  '/server_info',
  '/kv_event_sources',
  '/metrics',
  '/docs',
  '/redoc',
  '/openapi.json',
].map((path) => ({ ...UNMATCHED, route: path, class: 'operator' }));
/** vLLM's dev routes that empty a cache (`/reset_prefix_cache`, `/reset_mm_cache`, ...). */
const RESET: Endpoint = { ...UNMATCHED, route: '/reset_*', class: 'operator' };
/** Never proxied to a worker: these names are the router's own. */
const RESERVED: Endpoint = { ...UNMATCHED, route: 'reserved', class: 'operator' };

const exact = new Map<string, EndpointRow[]>();
const templates: { readonly prefix: string; readonly suffix: string; readonly row: EndpointRow }[] = [];
for (const row of ROWS) {
  for (const path of row.paths) {
    const brace = path.indexOf('{id}');
    if (brace < 0) exact.set(path, [...(exact.get(path) ?? []), row]);
    else templates.push({ prefix: path.slice(0, brace), suffix: path.slice(brace + 4), row });
  }
}

export type Match =
  | {
      readonly kind: 'endpoint';
      readonly endpoint: Endpoint;
      readonly id?: string;
      /** The path is one of the table, whatever the method. */
      readonly known?: true;
    }
  | { readonly kind: 'reserved'; readonly endpoint: Endpoint }
  /** The path climbs above its root: out of the prefix that a worker may be confined to. */
  | { readonly kind: 'outside'; readonly endpoint: Endpoint }
  | { readonly kind: 'wrong_method'; readonly endpoint: Endpoint; readonly allow: string };

/** The table itself, for what must hold of every row. */
export const ENDPOINTS: readonly EndpointRow[] = ROWS;

/** Every route template, for bounded metric labels. */
export const ROUTES: readonly string[] = [
  ...new Set([...ROWS, ...OPERATOR, UNMATCHED, RESET, RESERVED].map((endpoint) => endpoint.route)),
];

/** Paths that the router answers by itself. */
export const LOCAL_PATHS: readonly string[] = ROWS.filter((row) => row.local !== undefined).flatMap(
  (row) => row.paths,
);

/** Everything that a worker may be asked with. */
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

const KNOWN = { known: true } as const;
/** An id that is the same in every spelling of a path. */
const PLAIN_ID = /^[\w.~-]+$/;

/**
 * The target that a worker gets: a path of the table in the spelling of the table, since engines serve (or redirect from)
 * other spellings as they like; any other path as it was written. The query always stays as it is.
 */
export function canonicalTarget(match: Match, path: string, target: string): string {
  if (match.kind !== 'endpoint' || match.known !== true) return target;
  const written = pathOf(target);
  return written === path ? target : path + target.slice(written.length);
}

/** `path` is the normalised path: see `normalisePath`. */
export function matchEndpoint(method: string, path: string): Match {
  const match = matchPath(method, path);
  // An echo of the request would show what was added to it on the way, the worker's key among it (RFC 9110 9.3.8).
  if (method !== 'TRACE' || match.kind === 'wrong_method') return match;
  return { kind: 'wrong_method', endpoint: match.endpoint, allow: METHODS };
}

function matchPath(method: string, path: string): Match {
  const rows = exact.get(path);
  if (rows) return matchRow(rows, method);
  let known: typeof KNOWN | undefined;
  for (const { prefix, suffix, row } of templates) {
    if (path.length <= prefix.length + suffix.length || !path.startsWith(prefix) || !path.endsWith(suffix))
      continue;
    const id = path.slice(prefix.length, path.length - suffix.length);
    if (!row.slashes && id.includes('/')) continue;
    const plain = PLAIN_ID.test(id) && KNOWN;
    if (row.methods.includes(method)) return { kind: 'endpoint', endpoint: row, id, ...plain };
    if (plain) known = plain;
  }
  if (isUnder(path, '/..')) return { kind: 'outside', endpoint: RESERVED };
  if (path.startsWith('/reset_'))
    return { kind: 'endpoint', endpoint: RESET, ...(PLAIN_ID.test(path.slice(1)) && KNOWN) };
  if (isOwnPath(path)) return { kind: 'reserved', endpoint: RESERVED };
  const operator = OPERATOR.find((endpoint) => isUnder(path, endpoint.route));
  if (operator) return { kind: 'endpoint', endpoint: operator, ...(path === operator.route && KNOWN) };
  return { kind: 'endpoint', endpoint: unmatched(method), ...known };
}

function matchRow(rows: readonly EndpointRow[], method: string): Match {
  const row = rows.find((candidate) => candidate.methods.length === 0 || candidate.methods.includes(method));
  if (row) return { kind: 'endpoint', endpoint: row, ...KNOWN };
  const first = rows[0];
  if (first?.class === 'local' && first.otherMethods !== 'proxied')
    return { kind: 'wrong_method', endpoint: first, allow: first.methods.join(', ') };
  return { kind: 'endpoint', endpoint: unmatched(method), ...KNOWN };
}

function unmatched(method: string): Endpoint {
  return method === 'GET' || method === 'HEAD' ? UNMATCHED_SAFE : UNMATCHED;
}

function isUnder(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}
