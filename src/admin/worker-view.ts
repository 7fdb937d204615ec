import * as z from 'zod';
import { noticesOfUnused, type Registration } from '../config/schema/worker-entry.ts';
import { workerId } from '../config/schema/worker-url.ts';
import { WORKER_ROLES } from '../config/settings/pd-settings.ts';
import type { PeerView } from '../discovery/zmq/zmq-discovery.ts';
import { isOpen } from '../workers/jobs.ts';
import type { Worker } from '../workers/worker.ts';
import { cacheProofView, showProof } from './cache-proof-view.ts';
import type { AdminContext } from './context.ts';
import { externalView, showExternal } from './external-view.ts';
import { kvEventsView, showKvEvents } from './kv-events-view.ts';
import { pdFields, showRole } from './kv-transfer-view.ts';
import type { WorkerJob } from './registrar.ts';

/** A job, as it is shown. */
export const jobView = z.strictObject({
  id: z.string(),
  kind: z.enum(['add', 'remove']),
  url: z.string(),
  status: z.enum(['queued', 'running', 'done', 'failed']),
  reason: z.string().nullable().meta({ description: 'Why it failed, or what the last try came to' }),
  notices: z
    .array(z.string())
    .meta({ description: 'What was done otherwise than one may think, e.g. a policy label without effect' }),
  tries: z.int(),
  created_at: z.iso.datetime(),
  ended_at: z.iso.datetime().nullable(),
});

const asGiven = z
  .string()
  .optional()
  .meta({ description: 'As registered; without effect on an HTTP worker' });
const tokenizerPath = z
  .string()
  .optional()
  .meta({ description: 'Where the tokenizer of its models lies, as registered' });
const unusedFields = {
  tokenizer_path: tokenizerPath,
  reasoning_parser: asGiven,
  tool_parser: asGiven,
  chat_template: asGiven,
};

const cacheView = z.strictObject({
  block_size: z.int().meta({ description: 'Tokens in a block' }),
  blocks: z.int().nullable(),
  prefix_caching: z.boolean().nullable(),
});

const eventSourceView = z.strictObject({
  rank: z.int(),
  endpoint: z.string(),
  replay_endpoint: z.string().nullable(),
  topic: z.string(),
});

const selfRegistration = z.strictObject({
  zmq_address: z.string().meta({ description: 'Where other workers reach it for KV blocks' }),
  from: z.string().nullable().meta({ description: 'The address that its messages come from' }),
  age_secs: z.number().meta({ description: 'Since its first message' }),
  silent_secs: z.number().meta({ description: 'Since its latest one; it is gone after 5' }),
});

/** A worker, as it is shown: the reference routers' fields first, then ours. */
export const workerView = z.strictObject({
  id: z.string().meta({ description: 'The URL, with @rank for a data-parallel rank' }),
  url: z.string(),
  model_id: z.string().meta({ description: 'As registered, else the first model it lists, else unknown' }),
  priority: z.number(),
  cost: z.number(),
  worker_type: z.enum(WORKER_ROLES),
  ...pdFields,
  external: externalView
    .optional()
    .meta({ description: 'Of an external backend; never its key or its headers' }),
  is_healthy: z.boolean(),
  load: z.number().meta({ description: 'Requests running there, those of others included as far as known' }),
  connection_mode: z.literal('Http'),
  base_url: z.string(),
  rank: z.int().nullable(),
  source: z.enum(['config', 'api', 'zmq']).meta({ description: 'Who named it; zmq: it registers itself' }),
  self_registration: selfRegistration
    .nullable()
    .meta({ description: 'What a worker says that registers itself over ZeroMQ, however it came here' }),
  labels: z.record(z.string(), z.string()),
  ...unusedFields,
  policy: z.string().meta({ description: 'Of its models; the default one where they have several' }),
  notices: z
    .array(z.string())
    .meta({ description: 'Which of its labels and fields are wrong or without effect' }),
  models: z.array(z.string()),
  adapters: z.array(z.string()).meta({ description: 'Those of its models that are adapters' }),
  cache: cacheView
    .nullable()
    .meta({ description: 'Its prefix cache, as its metrics say; null while not known' }),
  cache_proof: cacheProofView
    .nullable()
    .meta({ description: 'Whether what is known of its cache is true, by what its answers tell' }),
  event_sources: z
    .array(eventSourceView)
    .nullable()
    .meta({ description: 'Where it says that it publishes events of its cache; null where it does not say' }),
  kv_events: kvEventsView.nullable().meta({ description: 'Its cache events, as far as they are received' }),
  version: z.string().nullable(),
  draining: z.boolean(),
  drain_remaining_secs: z.number().nullable(),
  health: z.strictObject({
    reason: z.string().nullable().meta({ description: 'Why the last check failed' }),
    since_secs: z.number().meta({ description: 'Since it became healthy, unhealthy or was registered' }),
    ever_healthy: z.boolean(),
    consecutive_failures: z.int(),
  }),
  circuit_breaker: z.enum(['closed', 'open', 'half_open']),
  progress: z.strictObject({
    state: z
      .enum(['moving', 'suspect', 'stalled'])
      .meta({ description: 'suspect: silent for too long; stalled: and a probe was not answered' }),
    silent_secs: z.number().meta({ description: 'Since anything came, while somebody waits for it' }),
  }),
  engine: z.enum(['running', 'sleeping', 'paused']).meta({ description: 'What it said at the last check' }),
  in_flight: z.int().meta({ description: "This router's own requests there" }),
  prefill_tokens: z.number(),
  kv_tokens: z.number(),
  requests_sent: z.int(),
  capabilities: z
    .record(z.string(), z.boolean().nullable())
    .nullable()
    .meta({ description: 'What it offers, tried at registration; null for workers of the configuration' }),
  tokenizers: z
    .array(
      z.strictObject({
        model: z.string(),
        local: z.enum(['proving', 'proven', 'differs', 'unproved', 'unreadable']).meta({
          description:
            "How the configured tokenizer compares with the worker's; used only where it is proven",
        }),
        reason: z
          .string()
          .nullable()
          .meta({ description: 'What differs, or for which chats it is not used' }),
      }),
    )
    .meta({
      description: 'Models of the worker for which a tokenizer is configured, as far as they were asked for',
    }),
  job: jobView.nullable(),
});

/** A worker that is being registered, or could not be: what was asked for, and the job. */
export const pendingView = workerView
  .pick({
    id: true,
    url: true,
    model_id: true,
    priority: true,
    cost: true,
    worker_type: true,
    bootstrap_port: true,
    kv_transfer: true,
    is_healthy: true,
    load: true,
    connection_mode: true,
    labels: true,
  })
  .extend({ ...unusedFields, job: jobView });

export function showJob(job: WorkerJob): z.output<typeof jobView> {
  const { state } = job;
  return {
    id: job.id,
    kind: job.kind,
    url: job.target,
    status: state.name,
    reason: 'reason' in state ? (state.reason ?? null) : null,
    notices: state.name === 'done' ? [...state.notices] : [],
    tries: job.tries,
    created_at: new Date(job.createdAt).toISOString(),
    ended_at: 'endedAt' in state ? new Date(state.endedAt).toISOString() : null,
  };
}

export function showWorker(context: AdminContext, worker: Worker): z.output<typeof workerView> {
  const { registrar, registry, ledger, clock } = context;
  const { spec, health, slot } = worker;
  const now = clock.now();
  const registration = registrar.registrationOf(worker);
  const job = registrar.jobOf(worker);
  const drainLeftMs = registrar.drainLeftMs(worker);
  const events = context.eventsOf(worker);
  const capabilities = registrar.capabilitiesOf(worker);
  const proof = context.proofOf(worker);
  return {
    id: worker.id,
    url: worker.id,
    model_id: registration.modelId ?? firstOf(worker.models) ?? 'unknown',
    priority: registration.priority,
    cost: registration.cost,
    ...showRole(worker.traits),
    ...showExternal(context, worker, now),
    is_healthy: health.healthy,
    load: ledger.running(slot),
    connection_mode: 'Http',
    base_url: spec.baseUrl,
    rank: spec.rank ?? null,
    source: registrar.joinedBy(worker) ?? 'config',
    self_registration: showPeer(context.peerOf(worker)),
    labels: registration.labels,
    ...pathOf(registration),
    ...registration.unused,
    policy: policyOf(context, worker),
    notices: [...context.policies.noticesOf(worker), ...noticesOfUnused(registration)],
    models: [...worker.models],
    adapters: [...worker.adapters],
    ...showFacts(worker),
    cache_proof: proof ? showProof(proof) : null,
    kv_events: events ? showKvEvents(events) : null,
    version: context.versionOf(worker) ?? null,
    draining: worker.draining,
    drain_remaining_secs: drainLeftMs === undefined ? null : roundSecs(drainLeftMs),
    health: {
      reason: health.reason ?? null,
      since_secs: roundSecs(now - health.changedAt),
      ever_healthy: health.admitted,
      consecutive_failures: health.failures,
    },
    circuit_breaker: worker.breaker.state(now),
    progress: { state: worker.progress.state, silent_secs: roundSecs(worker.progress.silentMs(now)) },
    engine: worker.engine,
    in_flight: ledger.own(slot),
    prefill_tokens: ledger.prefillTokens(slot),
    kv_tokens: ledger.kvTokens(slot),
    requests_sent: worker.processed,
    capabilities: capabilities ? triStates(capabilities) : null,
    tokenizers: context
      .tokenizersOf(worker)
      .map(({ model, state, reason = null }) => ({ model, local: state, reason })),
    job: job && registry.get(worker.id) === worker && isOpen(job) ? showJob(job) : null,
  };
}

function showPeer(peer: PeerView | undefined): z.output<typeof selfRegistration> | null {
  if (!peer) return null;
  return {
    zmq_address: peer.zmqAddress,
    from: peer.from ?? null,
    age_secs: roundSecs(peer.ageMs),
    silent_secs: roundSecs(peer.silentMs),
  };
}

function showFacts({ cacheConfig, eventSources }: Worker): {
  readonly cache: z.output<typeof cacheView> | null;
  readonly event_sources: z.output<typeof eventSourceView>[] | null;
} {
  return {
    cache: cacheConfig
      ? {
          block_size: cacheConfig.blockSize,
          blocks: cacheConfig.blocks ?? null,
          prefix_caching: cacheConfig.prefixCaching ?? null,
        }
      : null,
    event_sources:
      eventSources?.map(({ rank, endpoint, replayEndpoint, topic }) => ({
        ...{ rank, endpoint, topic },
        replay_endpoint: replayEndpoint ?? null,
      })) ?? null,
  };
}

export function showPending(job: WorkerJob): z.output<typeof pendingView> {
  const { modelId, priority, cost, labels, unused, address, tokenizerPath: path }: Registration = job.about;
  const url = workerId(address);
  return {
    id: url,
    url,
    model_id: modelId ?? 'unknown',
    priority,
    cost,
    ...showRole(job.about),
    is_healthy: false,
    load: 0,
    connection_mode: 'Http',
    labels,
    ...pathOf({ tokenizerPath: path }),
    ...unused,
    job: showJob(job),
  };
}

function pathOf({ tokenizerPath: path }: Pick<Registration, 'tokenizerPath'>): { tokenizer_path?: string } {
  return path === undefined ? {} : { tokenizer_path: path };
}

export function roundSecs(ms: number): number {
  return Math.round(ms) / 1000;
}

/** Models may have policies of their own; where those of a worker differ, none of them is the worker's. */
function policyOf({ policies, policyShown }: AdminContext, { models }: Worker): string {
  const names = new Set<string>();
  for (const model of models) {
    names.add(policies.policyFor(model).name);
    if (names.size > 1) break;
  }
  const [only, another] = names;
  return only === undefined || another !== undefined ? policyShown.type : only;
}

function firstOf(names: ReadonlySet<string>): string | undefined {
  for (const name of names) return name;
  return undefined;
}

function triStates(values: Readonly<Record<string, boolean | undefined>>): Record<string, boolean | null> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value ?? null]));
}
