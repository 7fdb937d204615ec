import * as z from 'zod';
import { bearerKey, key, port, type KeyMeta } from './field.ts';
import { WORKER_ROLES, type WorkerRole } from '../settings/pd-settings.ts';
import { DEFAULT_TRAITS, UNUSED_FIELDS, type WorkerTraits } from '../settings/settings.ts';
import { isPath } from '../../base/path.ts';
import { workerKvEvents } from './kv-events-schema.ts';
import { kvTransferTraits, workerKvTransfer } from './kv-transfer-schema.ts';
import { externalTraits, workerExternal } from './external-schema.ts';
import { eventLabelNotices, workerEventTraits } from './worker-events.ts';
import { parseWorkerUrl, type UrlOf, type WorkerAddress } from './worker-url.ts';

/** One worker, or all ranks of one server, as the configuration file or the worker API asks for it. */
export interface Registration extends WorkerTraits {
  readonly address: WorkerAddress;
  /** Instead of the key that the configuration has for its URL. */
  readonly apiKey: string | undefined;
}

const MOST_LABELS = 64;
const LONGEST_TEXT = 1024;

/** As wide as any type has it; what is wrong for one type is said where that is known. */
export const workerUrl = z.string().superRefine((value, context) => {
  const parsed = parseWorkerUrl(value);
  if (parsed.kind === 'ok' || parseWorkerUrl(value, 'external').kind === 'ok') return;
  context.addIssue({ code: 'custom', message: `expected ${parsed.expected}` });
});

const text = () => z.string().min(1).max(LONGEST_TEXT);

/** For gRPC workers alone, but clients of the reference routers send them for all. */
function unused() {
  return field(text().nullish(), 'Kept and shown; without effect on an HTTP worker.', {
    defaultText: 'none',
  });
}

/** Says the same to the pages of the configuration and to the description of the API. */
function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  const described = schema.meta({ ...schema.meta(), description: about.replace(/\.$/, '') });
  return key(described, { group: 'Workers', about, ...more });
}

/** What a worker that is registered while the router runs has to pass before it gets requests. */
export const workerAdmission = z.enum(['probe', 'doctor']).meta({
  description: 'probe: it is healthy and lists its model; doctor: no check of vllm-router doctor fails, too',
});

const fields = z.strictObject({
  url: field(
    workerUrl,
    'http(s)://host:port[/prefix] or unix:///path.sock, with @rank for one rank. Of an external backend the base URL that its clients are given: https://api.example.com/v1.',
  ),
  model_id: field(
    text().nullish(),
    'A model that the worker must list; the one it serves where it lists none.',
    { defaultText: 'none' },
  ),
  worker_type: field(
    z.enum(WORKER_ROLES).nullish().meta({ default: DEFAULT_TRAITS.role }),
    'regular: whole requests. prefill: prompts alone, whose KV blocks a decode worker takes over. decode: what comes behind the prompt, and whole requests. external: a provider of an OpenAI-compatible API, to which only rules lead.',
    { defaultText: DEFAULT_TRAITS.role },
  ),
  priority: field(
    z.int().min(0).max(0xffff_ffff).nullish().meta({ default: DEFAULT_TRAITS.priority }),
    'Requests with x-worker-priority go only to workers with at least that priority.',
    { defaultText: String(DEFAULT_TRAITS.priority) },
  ),
  cost: field(
    z.number().min(0).nullish().meta({ default: DEFAULT_TRAITS.cost }),
    'Requests with x-max-cost go only to workers of at most that cost.',
    { defaultText: String(DEFAULT_TRAITS.cost) },
  ),
  labels: field(
    z
      .record(text(), z.string().max(LONGEST_TEXT))
      .refine((labels) => Object.keys(labels).length <= MOST_LABELS, `expected at most ${MOST_LABELS} labels`)
      .nullish(),
    'Names and values to tell workers apart; `policy` names the policy for the models of the worker.',
    { defaultText: 'none' },
  ),
  kv_events: field(
    workerKvEvents.nullish(),
    'Where its engine publishes what it caches: port, replay_port, topic, endpoint, ranks, as kv_events has them for all. Labels kv_events_port and so on say the same.',
    { defaultText: 'what it says itself, else kv_events' },
  ),
  api_key: field(
    bearerKey().nullish().meta({ writeOnly: true }),
    'Bearer key for this worker; never shown.',
    { secret: true, defaultText: 'the configured one' },
  ),
  bootstrap_port: field(
    port().min(1, 'expected a port other than 0').nullish(),
    'Of a prefill worker: where decode workers ask it for blocks (Mooncake, SGLang).',
    { defaultText: 'none; 8998 with Mooncake' },
  ),
  kv_transfer: field(
    workerKvTransfer.nullish(),
    'How its KV blocks are handed over, as far as the router has to be told: engine_id, host and port of its side channel, tp_size, pp_size, dp_size; receiver (host, init_ports, alloc_ports) of LMCache.',
    { defaultText: 'what it tells' },
  ),
  external: field(
    workerExternal.nullish(),
    'Of an external backend: what its provider is told, and which models it has.',
    { defaultText: 'none' },
  ),
  tokenizer_path: field(
    text().nullish(),
    'The folder or tokenizer.json of its models, as for tokenizer_path of the configuration.',
    { defaultText: 'as configured for the model' },
  ),
  reasoning_parser: unused(),
  tool_parser: unused(),
  chat_template: unused(),
});

/** What only vLLM has. */
const FLEETS_FIELDS = ['model_id', 'bootstrap_port', 'kv_transfer', 'kv_events', 'tokenizer_path'] as const;

/** What is wrong with a URL for this type, where it would do for another one. */
export function urlProblem(url: string, role: WorkerRole | null | undefined): string | undefined {
  const parsed = parseWorkerUrl(url, urlOf(role));
  const other = parseWorkerUrl(url, role === 'external' ? 'worker' : 'external');
  return parsed.kind === 'bad' && other.kind === 'ok' ? `expected ${parsed.expected}` : undefined;
}

/** How its URL is read. */
export function urlOf(role: WorkerRole | null | undefined): UrlOf {
  return role === 'external' ? 'external' : 'worker';
}

/** One entry of `workers`, and one of the state file. */
export const workerEntry = fields.superRefine(checkRole);

/** The body of `POST /workers`. */
export const workerBody = fields.extend({ admission: workerAdmission.optional() }).superRefine(checkRole);

/** What belongs to one role only, and what prefill and decode workers must have. */
function checkRole(entry: z.output<typeof fields>, context: z.RefinementCtx): void {
  const { url, worker_type: role, bootstrap_port: bootstrap } = entry;
  const misread = urlProblem(url, role);
  if (misread !== undefined) context.addIssue({ code: 'custom', path: ['url'], message: misread });
  if (role === 'external') {
    for (const name of FLEETS_FIELDS)
      if (entry[name] !== undefined && entry[name] !== null)
        context.addIssue({
          code: 'custom',
          path: [name],
          message: `expected none for an external backend${name === 'model_id' ? ': its models stand in external.models' : ''}`,
        });
    return;
  }
  if (entry.external !== undefined && entry.external !== null)
    context.addIssue({ code: 'custom', path: ['external'], message: 'expected worker_type external' });
  if (typeof bootstrap === 'number' && role !== 'prefill')
    context.addIssue({
      code: 'custom',
      path: ['bootstrap_port'],
      message: 'expected worker_type prefill: no other worker is asked for blocks',
    });
  const problem = roleProblem(role ?? DEFAULT_TRAITS.role, url);
  if (problem !== undefined) context.addIssue({ code: 'custom', path: ['url'], message: problem });
}

/** Why a worker at this URL cannot have the role; undefined: it can. */
export function roleProblem(role: WorkerRole, url: string): string | undefined {
  if (role === 'regular' || role === 'external' || !/^unix:/i.test(url)) return undefined;
  return `expected http(s)://host:port for a ${role} worker: the transfer of KV blocks needs the host that it has on the network`;
}

export type WorkerEntry = z.output<typeof fields>;

/** `entry` has passed the schema. */
export function registrationOf(entry: WorkerEntry): Registration {
  const parsed = parseWorkerUrl(entry.url, urlOf(entry.worker_type));
  if (parsed.kind === 'bad') throw new Error(`expected ${parsed.expected}`);
  return {
    address: parsed.address,
    modelId: entry.model_id ?? undefined,
    role: entry.worker_type ?? DEFAULT_TRAITS.role,
    bootstrapPort: entry.bootstrap_port ?? undefined,
    kvTransfer: kvTransferTraits(entry.kv_transfer, parsed.address.baseUrl),
    priority: entry.priority ?? DEFAULT_TRAITS.priority,
    cost: entry.cost ?? DEFAULT_TRAITS.cost,
    labels: entry.labels ?? DEFAULT_TRAITS.labels,
    tokenizerPath: entry.tokenizer_path ?? undefined,
    kvEvents: workerEventTraits(entry.kv_events, entry.labels ?? {}),
    external:
      entry.worker_type === 'external' ? externalTraits(entry.external, parsed.address.baseUrl) : undefined,
    unused: unusedOf(entry),
    apiKey: entry.api_key ?? undefined,
  };
}

function unusedOf(entry: WorkerEntry): WorkerTraits['unused'] {
  const given = UNUSED_FIELDS.flatMap((name) => {
    const value = entry[name];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  return given.length === 0 ? DEFAULT_TRAITS.unused : Object.fromEntries(given);
}

export function traitsOf(traits: WorkerTraits): WorkerTraits {
  const { modelId, role, bootstrapPort, kvTransfer, priority, cost, labels, ...more } = traits;
  const { tokenizerPath, kvEvents, external, unused } = more;
  return {
    ...{ modelId, role, bootstrapPort, kvTransfer },
    ...{ priority, cost, labels, tokenizerPath, kvEvents, external, unused },
  };
}

/** What there is to say about fields and labels that were accepted without effect. */
export function noticesOfUnused({
  tokenizerPath,
  labels,
  unused,
}: Pick<WorkerTraits, 'tokenizerPath' | 'labels' | 'unused'>): string[] {
  const unfetched = tokenizerPath !== undefined && !isPath(tokenizerPath);
  return [
    ...(unfetched ? ['tokenizer_path: without effect: nothing is fetched from a hub, give a directory'] : []),
    ...Object.keys(unused).map((name) => `${name}: kept, but without effect on an HTTP worker`),
    ...eventLabelNotices(labels),
  ];
}
