import * as z from 'zod';
import type { ExternalTraits } from '../settings/external-settings.ts';
import { count, httpToken, key, text, type KeyMeta } from './field.ts';

/** The server behind `worker_urls`, as other routers name it. */
const BACKENDS = ['vllm', 'trtllm', 'openai', 'anthropic'] as const;

const MOST_MODELS = 4096;
const MOST_HEADERS = 64;

/** Fit for headers, labels and logs. */
export const backendName = () =>
  z
    .string()
    .max(64)
    .regex(/^[A-Za-z0-9_.:-]+$/, 'expected a name of letters, digits, _, ., : and -');

const modelName = () =>
  text()
    .max(1024)
    // eslint-disable-next-line no-control-regex -- control characters are what it is about
    .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/, 'expected a name without control characters');

/** What describes the message itself, and what the router says who it is. */
const OWN_HEADERS = new Set([
  ...['host', 'content-length', 'content-type', 'content-encoding', 'transfer-encoding', 'connection'],
  ...['keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer', 'upgrade', 'expect'],
  ...['accept-encoding', 'authorization', 'api-key', 'openai-organization', 'openai-project'],
]);
/** A client's, which are for the router. */
const NEVER_FORWARDED = new Set([
  ...OWN_HEADERS,
  ...['x-api-key', 'cookie', 'x-router-key', 'x-admin-key', 'x-vllm-tenant', 'x-vllm-router-external'],
]);

const headerName = (refused: ReadonlySet<string>) =>
  httpToken('the name of a header')
    .max(256)
    .refine((value) => !refused.has(value.toLowerCase()), 'expected a header that the router does not set');

const headerText = () => z.string().regex(/^[ -~]*$/, 'expected visible ASCII characters');

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  const described = schema.meta({ ...schema.meta(), description: about.replace(/\.$/, '') });
  return key(described, { group: 'External backends', about, ...more });
}

/** `external` of a worker's entry. */
export const workerExternal = z.strictObject({
  name: field(
    backendName().optional(),
    'By which model_rules, records, metrics and the header x-vllm-router-external name it.',
    { defaultText: 'host and port of its URL' },
  ),
  models: field(
    z
      .union([
        z.literal('fetch'),
        z.array(modelName()).min(1, 'expected at least one model').max(MOST_MODELS),
        z
          .record(modelName(), modelName())
          .refine(
            (models) => Object.keys(models).length <= MOST_MODELS,
            `expected at most ${MOST_MODELS} models`,
          ),
      ])
      .optional(),
    "Models that it may be asked for: names, or names and the provider's name of each, or fetch: its /models is read once, at the start.",
    { defaultText: 'any' },
  ),
  model_prefix: field(
    modelName().optional(),
    "Stands before the provider's name of a model, where models gives none.",
    { defaultText: 'none' },
  ),
  organization: field(headerText().optional(), 'Sent as OpenAI-Organization.', { defaultText: 'none' }),
  project: field(headerText().optional(), 'Sent as OpenAI-Project.', { defaultText: 'none' }),
  headers: field(
    z
      .record(headerName(OWN_HEADERS), headerText())
      .refine(
        (headers) => Object.keys(headers).length <= MOST_HEADERS,
        `expected at most ${MOST_HEADERS} headers`,
      )
      .default({}),
    'Further headers of every request.',
    { secret: true },
  ),
  forward_headers: field(
    z.array(headerName(NEVER_FORWARDED)).max(MOST_HEADERS).default([]),
    "Headers of the client's request that it gets to see beside Accept, Content-Type, OpenAI-Beta and Idempotency-Key.",
  ),
  key_header: field(
    httpToken('the name of a header').max(256).default('authorization'),
    'Where its key stands: authorization, with Bearer before it, or api-key for Azure.',
  ),
  api_version: field(
    z
      .string()
      .regex(/^[A-Za-z0-9.-]{1,64}$/, 'expected a version such as 2024-10-21')
      .optional(),
    'Azure: api-version in the query of every request.',
    { defaultText: 'none' },
  ),
  deployments: field(
    z.boolean().default(false),
    'Azure: the model is a deployment, and stands in the path: /deployments/<model>/chat/completions.',
  ),
  unsupported_fields: field(
    z.enum(['drop', 'reject']).default('drop'),
    'Fields that only vLLM knows (top_k, chat_template_kwargs, ...): they are left out, which the record and a header say, or the request is refused with 400.',
  ),
  keep_fields: field(
    z.array(modelName()).max(256).default([]),
    'Those of them that this provider knows as well: they are sent.',
  ),
  max_concurrent: field(
    count(1).max(1_000_000).default(256),
    'Requests there at a time; one more goes where it would go without it.',
  ),
});

export type ExternalEntry = z.output<typeof workerExternal>;

/** @param baseUrl Names it where the entry does not. */
export function externalTraits(given: ExternalEntry | null | undefined, baseUrl: string): ExternalTraits {
  const entry = given ?? workerExternal.parse({});
  const { models } = entry;
  return {
    name: entry.name ?? nameOf(baseUrl),
    models: models === undefined || models === 'fetch' ? undefined : asMap(models, entry.model_prefix ?? ''),
    modelPrefix: entry.model_prefix ?? '',
    fetchesModels: models === 'fetch',
    headers: [
      ...named('openai-organization', entry.organization),
      ...named('openai-project', entry.project),
      ...Object.entries(entry.headers).flatMap(([name, value]) => [name.toLowerCase(), value]),
    ],
    forwardHeaders: entry.forward_headers.map((name) => name.toLowerCase()),
    keyHeader: entry.key_header.toLowerCase(),
    apiVersion: entry.api_version,
    deployments: entry.deployments,
    unsupportedFields: entry.unsupported_fields,
    keepFields: entry.keep_fields,
    maxConcurrent: entry.max_concurrent,
  };
}

function named(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}

function asMap(
  models: readonly string[] | Readonly<Record<string, string>>,
  prefix: string,
): Readonly<Record<string, string>> {
  if (!isList(models)) return models;
  return Object.fromEntries(models.map((model) => [model, prefix + model]));
}

/** Not `Array.isArray`: it does not know lists that are read only. */
function isList(models: readonly string[] | Readonly<Record<string, string>>): models is readonly string[] {
  return Array.isArray(models);
}

function nameOf(baseUrl: string): string {
  const host = URL.parse(baseUrl)?.host ?? '';
  return (host === '' ? baseUrl.replace(/^unix:\/\//, '') : host)
    .replace(/[^A-Za-z0-9_.:-]/g, '-')
    .slice(-64);
}

/** The way back, as an entry says it: for the state file. */
export function externalEntry(traits: ExternalTraits): Readonly<Record<string, unknown>> {
  const { headers } = traits;
  const pairs = headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? ''] as const] : []));
  const own = Object.fromEntries(pairs.filter(([name]) => !OWN_HEADERS.has(name)));
  const given = Object.fromEntries(pairs);
  return {
    name: traits.name,
    ...(traits.fetchesModels ? { models: 'fetch' } : traits.models && { models: traits.models }),
    ...(traits.modelPrefix !== '' && { model_prefix: traits.modelPrefix }),
    ...(given['openai-organization'] !== undefined && { organization: given['openai-organization'] }),
    ...(given['openai-project'] !== undefined && { project: given['openai-project'] }),
    headers: own,
    forward_headers: traits.forwardHeaders,
    key_header: traits.keyHeader,
    ...(traits.apiVersion !== undefined && { api_version: traits.apiVersion }),
    deployments: traits.deployments,
    unsupported_fields: traits.unsupportedFields,
    keep_fields: traits.keepFields,
    max_concurrent: traits.maxConcurrent,
  };
}

export const backendKeys = {
  backend: key(z.enum(BACKENDS).default('vllm'), {
    group: 'External backends',
    flags: ['--backend', '--runtime'],
    about:
      'What worker_urls lead to. openai: providers of an OpenAI-compatible API, tried in their order; the same as mode.type openai. trtllm and anthropic are taken for vllm, as other routers do.',
  }),
};
