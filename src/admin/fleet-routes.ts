import * as z from 'zod';
import { collect } from '../engines/collect.ts';
import { probeHeaders } from '../engines/http/probe.ts';
import type { Worker } from '../workers/worker.ts';
import type { AdminContext } from './context.ts';
import { byServer, fanOut } from './fan-out.ts';
import { route, type AdminRoute } from './route.ts';
import { roundSecs } from './worker-view.ts';

const FLUSH_TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 64 * 1024;

const flushed = z.strictObject({
  worker: z.string(),
  status: z.enum(['flushed', 'failed', 'not_offered']),
  http_status: z.int().nullable(),
  error: z.string().nullable(),
});
type Flushed = z.output<typeof flushed>;

const flushCache = route({
  method: 'POST',
  path: '/flush_cache',
  action: 'cache.flush',
  about:
    "Empty the prefix cache of every worker (POST /reset_prefix_cache, which vLLM offers in its development mode only) and the router's picture of it.",
  answers: {
    200: { about: 'Every worker has done so.', schema: flushAnswer() },
    502: { about: 'The same, where one or more have not.', schema: flushAnswer() },
  },
  async handle(context, { note }) {
    const perServer = await fanOut(byServer(context.registry.fleet), (ranks) => flush(context, ranks));
    const workers = perServer.flat();
    const count = (status: Flushed['status']): number =>
      workers.filter((result) => result.status === status).length;
    const totals = { flushed: count('flushed'), failed: count('failed'), not_offered: count('not_offered') };
    note(totals);
    const success = totals.flushed === workers.length;
    return { status: success ? 200 : 502, json: { success, ...totals, workers } };
  },
});

function flushAnswer() {
  return z.strictObject({
    success: z.boolean(),
    flushed: z.int(),
    failed: z.int(),
    not_offered: z.int(),
    workers: z.array(flushed),
  });
}

/** The ranks of one server are emptied by one request. */
async function flush(context: AdminContext, ranks: readonly Worker[]): Promise<Flushed[]> {
  const [first] = ranks;
  if (!first) return [];
  const answer = await collect(
    context.clientOf(first),
    {
      method: 'POST',
      path: '/reset_prefix_cache',
      headers: probeHeaders(first.spec),
      body: undefined,
      upgrade: undefined,
      reserved: true,
    },
    context.clock,
    { timeoutMs: FLUSH_TIMEOUT_MS, maxBytes: MAX_ANSWER_BYTES },
  );
  const result = flushResult(answer);
  if (result.status === 'flushed') for (const { slot } of ranks) context.policies.index?.forget(slot);
  return ranks.map(({ id }) => ({ worker: id, ...result }));
}

function flushResult(answer: Awaited<ReturnType<typeof collect>>): Omit<Flushed, 'worker'> {
  if (answer.kind === 'failed')
    return { status: 'failed', http_status: null, error: `${answer.code}: ${answer.message}` };
  const { status } = answer;
  if (status >= 200 && status < 300) return { status: 'flushed', http_status: status, error: null };
  if (status === 404 || status === 405 || status === 501)
    return { status: 'not_offered', http_status: status, error: 'the worker has no /reset_prefix_cache' };
  return { status: 'failed', http_status: status, error: `status ${status}` };
}

const getLoads = route({
  method: 'GET',
  path: '/get_loads',
  about: "The load of every worker: the router's own exact count, and what the engine's /metrics say.",
  answers: {
    200: {
      about: '`load` counts requests: ours, and those of others as far as known.',
      schema: z.strictObject({
        workers: z.array(
          z.strictObject({
            worker: z.string(),
            load: z.number(),
            in_flight: z.int(),
            prefill_tokens: z.number(),
            kv_tokens: z.number(),
            prefill_tokens_per_sec: z.number(),
            engine: z
              .strictObject({
                running: z.number().nullable(),
                waiting: z.number().nullable(),
                kv_cache_usage: z.number().nullable(),
                age_secs: z.number(),
              })
              .nullable(),
            engine_error: z
              .string()
              .nullable()
              .meta({ description: 'Why the engine was not heard, or not now' }),
          }),
        ),
      }),
    },
  },
  async handle({ registry, ledger, loads }) {
    const { workers } = registry;
    const engineOf = await loads.refresh(workers.filter(({ health }) => health.healthy));
    return {
      status: 200,
      json: {
        workers: workers.map((worker) => {
          const { slot } = worker;
          const { metrics, ageMs = 0, error } = engineOf(worker);
          return {
            worker: worker.id,
            load: ledger.running(slot),
            in_flight: ledger.own(slot),
            prefill_tokens: ledger.prefillTokens(slot),
            kv_tokens: ledger.kvTokens(slot),
            prefill_tokens_per_sec: Math.round(ledger.prefillRate(slot)),
            engine: metrics
              ? {
                  running: metrics.running ?? null,
                  waiting: metrics.waiting ?? null,
                  kv_cache_usage: metrics.kvCacheUsage ?? null,
                  age_secs: roundSecs(ageMs),
                }
              : null,
            engine_error: worker.health.healthy ? (error ?? null) : 'not healthy',
          };
        }),
      },
    };
  },
});

export const FLEET_ROUTES: readonly AdminRoute[] = [flushCache, getLoads];
