import * as z from 'zod';
import { redactConfig } from '../config/show/redact.ts';
import { VERSION } from '../config/version.ts';
import { isOpen } from '../workers/jobs.ts';
import { cacheProofView, modelProofView, showModelProof, showProof } from './cache-proof-view.ts';
import { queueSchema, queueView } from './queue-view.ts';
import type { LoadedConfig } from './reload-report.ts';
import { stageShown } from './policy-routes.ts';
import { answersSchema, answersView, redisSchema, redisView } from './stores-view.ts';
import { route, type AdminRoute } from './route.ts';
import { tenantSchema, tenantView } from './tenant-routes.ts';
import { roundSecs } from './worker-view.ts';

const showConfig = route({
  method: 'GET',
  path: '/admin/config',
  about:
    'The active configuration in the words of the YAML file, secrets as ***. The policies are those in use, also where the configuration leaves them open.',
  answers: { 200: { about: 'Every key that has a value.', schema: z.record(z.string(), z.unknown()) } },
  handle: (context) => {
    const { config, settings, policyShown, modelPoliciesShown } = context;
    const { split } = settings.pd;
    return {
      status: 200,
      json: {
        ...redactConfig(config),
        policy: policyShown,
        model_policies: { ...config.model_policies, ...Object.fromEntries(modelPoliciesShown) },
        prefill_policy: stageShown(context, 'prefill'),
        decode_policy: stageShown(context, 'decode'),
        pd: { ...config.pd, split: split.kind === 'threshold' ? split.tokens : split.kind },
      },
    };
  },
});

const stats = route({
  method: 'GET',
  path: '/admin/stats',
  about: 'What the router holds and does right now.',
  answers: {
    200: {
      about:
        '`queue.longest` has the tenants with the most requests waiting (null: requests without a tenant).',
      schema: z.strictObject({
        version: z.string(),
        uptime_secs: z.number(),
        threads: z
          .strictObject({ configured: z.int(), serving: z.int() })
          .meta({ description: 'Threads that serve requests' }),
        cache: answersSchema,
        redis: redisSchema,
        workers: z.strictObject({
          total: z.int(),
          healthy: z.int(),
          draining: z.int(),
          circuit_open: z.int(),
          suspect: z.int(),
          stalled: z.int(),
          asleep: z.int(),
          from_api: z.int(),
        }),
        policies: z.strictObject({
          default: z.string(),
          prefill: z.string(),
          decode: z.string(),
          per_model: z.record(z.string(), z.string()),
        }),
        decisions_logged: z.int(),
        decisions_held: z.strictObject({ records: z.int(), bytes: z.int() }),
        requests: z.strictObject({ in_flight: z.int(), queued: z.int(), body_bytes: z.int() }),
        queue: queueSchema,
        jobs: z.strictObject({ open: z.int(), failed: z.int() }),
        cache_proof: z
          .record(z.string(), cacheProofView)
          .meta({ description: 'Of each worker: whether what is known of its cache is true' }),
        cache_proof_by_model: z.record(z.string(), modelProofView).meta({
          description: 'Of all workers that are here, by source; the 100 models with the most prompt tokens',
        }),
        cache_index: z.strictObject({ entries: z.int(), bytes: z.int() }).nullable(),
        config: z.strictObject({
          source: z.string().nullable().meta({ description: 'The file; null where there is none' }),
          loaded_at: z.string().meta({ description: 'When what is in force was read' }),
          waiting_for_restart: z
            .array(z.string())
            .meta({ description: 'Keys whose value in the file is not in force' }),
        }),
        state_file: z.strictObject({ path: z.string(), error: z.string().nullable() }).nullable(),
        tenants: z.strictObject({ count: z.int(), entries: z.array(tenantSchema) }).optional(),
      }),
    },
  },
  handle(context) {
    const { registry, registrar, decisions, admission, clock, policies, stateFile } = context;
    const { workers } = registry;
    const tenants = context.tenants.all().map(tenantView);
    const now = clock.now();
    const jobs = registrar.jobs.list();
    const count = (is: (worker: (typeof workers)[number]) => boolean): number => workers.filter(is).length;
    return {
      status: 200,
      json: {
        version: VERSION,
        uptime_secs: roundSecs(now - context.startedAt),
        threads: context.threads(),
        cache: answersView(context.keptAnswers()),
        redis: redisView(context.redisLinks()),
        workers: {
          total: workers.length,
          healthy: count(({ health }) => health.healthy),
          draining: count(({ draining }) => draining),
          circuit_open: count(({ breaker }) => breaker.state(now) === 'open'),
          suspect: count(({ progress }) => progress.state === 'suspect'),
          stalled: count(({ progress }) => progress.state === 'stalled'),
          asleep: count(({ engine }) => engine !== 'running'),
          from_api: count((worker) => registrar.joinedBy(worker) === 'api'),
        },
        policies: {
          default: context.policyShown.type,
          prefill: stageShown(context, 'prefill').type,
          decode: stageShown(context, 'decode').type,
          per_model: Object.fromEntries(policies.own().map(({ model, policy }) => [model, policy])),
        },
        decisions_logged: decisions.total,
        decisions_held: { records: decisions.size, bytes: decisions.bytes },
        requests: {
          in_flight: admission.inFlight,
          queued: admission.queued,
          body_bytes: context.bodyBytes.held,
        },
        queue: queueView(admission),
        jobs: {
          open: jobs.filter(isOpen).length,
          failed: jobs.filter(({ state }) => state.name === 'failed').length,
        },
        cache_proof: Object.fromEntries(
          workers.flatMap((worker) => {
            const proof = context.proofOf(worker);
            return proof ? [[worker.id, showProof(proof)]] : [];
          }),
        ),
        cache_proof_by_model: Object.fromEntries(
          [...context.proofByModel()].map(([model, bySource]) => [model, showModelProof(bySource)]),
        ),
        cache_index: policies.index ? { entries: policies.index.entries, bytes: policies.index.bytes } : null,
        config: configView(context.loaded()),
        state_file: stateFile ? { path: stateFile.path, error: stateFile.failure ?? null } : null,
        ...(tenants.length > 0 ? { tenants: { count: tenants.length, entries: tenants } } : {}),
      },
    };
  },
});

function configView({ source, loadedAt, waiting }: LoadedConfig): object {
  return {
    source: source ?? null,
    loaded_at: new Date(loadedAt).toISOString(),
    waiting_for_restart: waiting,
  };
}

const DEFAULT_LIMIT = 50;
const HIGHEST_LIMIT = 100_000;

/** A time: RFC 3339, or seconds since the Unix epoch. */
const moment = z.string().transform((value, context): number => {
  const ms = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value);
  if (Number.isFinite(ms)) return ms;
  context.addIssue({ code: 'custom', message: 'expected a time: RFC 3339, or seconds since the Unix epoch' });
  return z.NEVER;
});

const decisions = route({
  method: 'GET',
  path: '/admin/decisions',
  about: 'The latest decision records, oldest first, of those that the filters leave.',
  query: z.strictObject({
    limit: z.coerce.number('expected a number').int().min(1).max(HIGHEST_LIMIT).default(DEFAULT_LIMIT),
    worker: z.string().optional().meta({ description: 'A worker that got one of the attempts' }),
    model: z.string().optional().meta({ description: 'The model asked for or resolved to' }),
    since: moment.optional().meta({ description: 'RFC 3339, or seconds since the Unix epoch' }),
  }),
  answers: {
    200: {
      about: 'Fields are those of the decision record.',
      schema: z.strictObject({ decisions: z.array(z.record(z.string(), z.unknown())) }),
    },
  },
  async handle({ decisions: records }, { query }) {
    return { status: 200, json: { decisions: await records.find(query) } };
  },
});

export const INSPECT_ROUTES: readonly AdminRoute[] = [showConfig, stats, decisions];
