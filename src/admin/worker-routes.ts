import type { FleetRole, WorkerRole } from '../config/settings/settings.ts';
import * as z from 'zod';
import {
  noticesOfUnused,
  registrationOf,
  workerBody,
  type Registration,
} from '../config/schema/worker-entry.ts';
import { workerId } from '../config/schema/worker-url.ts';
import { collect } from '../engines/collect.ts';
import { probeHeaders } from '../engines/http/probe.ts';
import { isOpen } from '../workers/jobs.ts';
import type { Worker } from '../workers/worker.ts';
import { AdminError } from './admin-error.ts';
import type { AdminContext } from './context.ts';
import { queueFull, removal, removed } from './removal.ts';
import { route, type AdminRoute, type Answer } from './route.ts';
import { notFound, targetOfPath } from './worker-url-param.ts';
import { jobView, pendingView, showJob, showPending, showWorker, workerView } from './worker-view.ts';

const timeoutSecs = z.coerce.number('expected a number of seconds').min(0).max(2_147_483);

const MAX_METRICS_BYTES = 8 * 1024 * 1024;
const METRICS_TIMEOUT_MS = 5_000;

const addWorker = route({
  method: 'POST',
  path: '/workers',
  action: 'worker.add',
  about:
    'Register a worker. It is probed and joins in the background; asking again for the same is harmless.',
  body: workerBody,
  answers: {
    200: {
      about: 'Registered already, with the same settings.',
      schema: z.strictObject({
        success: z.literal(true),
        status: z.literal('registered'),
        message: z.string(),
        worker: workerView,
        workers: z.array(workerView).optional(),
      }),
    },
    202: {
      about: 'Accepted, or a drain was called off.',
      schema: z.strictObject({
        success: z.literal(true),
        status: z.enum(['accepted', 'undrained']),
        message: z.string(),
        url: z.string(),
        location: z.string(),
        job: jobView.optional(),
        worker: workerView.optional(),
        notices: z.array(z.string()),
      }),
    },
    400: { about: 'A field is wrong, or would have no effect here.' },
    409: { about: 'Known with other settings.' },
    503: { about: 'Too many jobs are open.' },
  },
  async handle(context, { body, note }) {
    const registration = registrationOf(body);
    // Prompts go there: whoever happens to be on this machine is not to say so.
    if (registration.external && context.settings.adminApiKey === undefined)
      throw new AdminError(
        'FORBIDDEN',
        'an external backend is registered with the admin key: set admin_api_key',
      );
    const outcome = context.registrar.add(registration, { admission: body.admission });
    note({ target: workerId(registration.address), outcome: outcome.kind });
    await context.stateFile?.settled();
    switch (outcome.kind) {
      case 'accepted': {
        const { job } = outcome;
        return added('accepted', job.target, noticesOf(context, registration), { job: showJob(job) });
      }
      case 'undrained': {
        const [first] = outcome.workers;
        return added('undrained', first?.id ?? '', noticesOf(context, registration), {
          ...(first && { worker: showWorker(context, first) }),
        });
      }
      case 'present':
        return present(context, outcome.workers);
      case 'conflict':
        throw new AdminError('WORKER_CONFLICT', outcome.message);
      case 'full':
        throw queueFull();
    }
  },
});

function added(
  status: 'accepted' | 'undrained',
  url: string,
  notices: readonly string[],
  more: Readonly<Record<string, unknown>>,
): Answer {
  const location = `/workers/${encodeURIComponent(url)}`;
  const message =
    status === 'accepted'
      ? `Worker ${url} is being registered: ${location} shows how far that is`
      : `Worker ${url} was being drained and takes requests again`;
  return {
    status: 202,
    json: { success: true, status, message, url, location, ...more, notices },
    headers: { location },
  };
}

function present(context: AdminContext, workers: readonly Worker[]): Answer {
  const shown = workers.map((worker) => showWorker(context, worker));
  const [worker] = shown;
  return {
    status: 200,
    json: {
      success: true,
      status: 'registered',
      message: `Worker ${worker?.id ?? ''} is registered already`,
      worker,
      ...(shown.length > 1 ? { workers: shown } : {}),
    },
  };
}

/** What was accepted and yet is less than one may think. */
function noticesOf(context: AdminContext, registration: Registration): string[] {
  const notices = [
    ...context.policies.noticesOfLabels(registration.labels),
    ...noticesOfUnused(registration),
  ];
  const failure = context.stateFile?.failure;
  if (failure !== undefined)
    notices.push(`the state file could not be written and is tried again: ${failure}`);
  return notices;
}

const listWorkers = route({
  method: 'GET',
  path: '/workers',
  about: 'All workers, and the jobs that are open or have failed.',
  answers: {
    200: {
      about: 'In order of joining.',
      schema: z.strictObject({
        workers: z.array(workerView),
        total: z.int(),
        stats: z.strictObject({
          prefill_count: z.int(),
          decode_count: z.int(),
          regular_count: z.int(),
          healthy_count: z.int(),
          draining_count: z.int(),
          total_workers: z.int(),
          healthy_workers: z.int(),
          total_models: z
            .int()
            .meta({ description: 'Names that workers list, aliases and adapters included' }),
          total_load: z.number(),
          by_type: z.strictObject({ regular: z.int(), prefill: z.int(), decode: z.int() }),
        }),
        jobs: z.array(jobView),
      }),
    },
  },
  handle(context) {
    const { workers } = context.registry;
    const jobs = context.registrar.jobs.list().filter((job) => isOpen(job) || job.state.name === 'failed');
    return {
      status: 200,
      json: {
        workers: workers.map((worker) => showWorker(context, worker)),
        total: workers.length,
        stats: statsOf(context),
        jobs: jobs.map(showJob),
      },
    };
  },
});

/** The counts of the reference routers' single mode, then those of their gateway mode. */
function statsOf({ registry, ledger }: AdminContext): Readonly<Record<string, unknown>> {
  const { workers } = registry;
  const total = workers.length;
  const healthy = workers.filter(({ health }) => health.healthy).length;
  const byType: Partial<Record<WorkerRole, number>> & Record<FleetRole, number> = {
    ...{ regular: 0, prefill: 0, decode: 0 },
    ...(registry.externals.length > 0 && { external: 0 }),
  };
  for (const { traits } of workers) byType[traits.role] = (byType[traits.role] ?? 0) + 1;
  return {
    prefill_count: byType.prefill,
    decode_count: byType.decode,
    regular_count: byType.regular,
    healthy_count: healthy,
    draining_count: workers.filter(({ draining }) => draining).length,
    total_workers: total,
    healthy_workers: healthy,
    total_models: registry.models.size,
    total_load: workers.reduce((sum, { slot }) => sum + ledger.running(slot), 0),
    by_type: byType,
  };
}

const showOne = route({
  method: 'GET',
  path: '/workers/{url}',
  about: 'One worker, all ranks of a server, or the state of a registration.',
  answers: {
    200: {
      about:
        'The worker; `workers` where the URL stands for several ranks; a registration that has not succeeded.',
      schema: z.union([
        workerView,
        z.strictObject({ url: z.string(), workers: z.array(workerView), total: z.int() }),
        pendingView,
      ]),
    },
    404: { about: 'Neither registered nor being registered.' },
  },
  handle(context, { url }) {
    const target = targetOfPath(url);
    const workers = context.registrar.workersOf(target).map((worker) => showWorker(context, worker));
    const [worker] = workers;
    if (workers.length > 1) return { status: 200, json: { url: target, workers, total: workers.length } };
    if (worker) return { status: 200, json: worker };
    const job = context.registrar.jobs.of(target);
    if (job?.kind !== 'add') throw notFound(target);
    // Registered once, and gone since.
    if (job.state.name === 'done') throw notFound(target);
    return { status: 200, json: showPending(job) };
  },
});

const removeWorker = route({
  method: 'DELETE',
  path: '/workers/{url}',
  action: 'worker.remove',
  about:
    'Drain a worker and remove it: no new requests from now on, those it has may finish until the time is up.',
  query: z.strictObject({ timeout_secs: timeoutSecs.optional().meta({ default: 300 }) }),
  answers: {
    202: { about: 'The drain has begun, or had before.', schema: removed },
    404: { about: 'Unknown.' },
    409: { about: 'Some of its ranks are being removed under the same name.' },
    503: { about: 'Too many jobs are open.' },
  },
  async handle(context, { url, query, note }) {
    const target = targetOfPath(url);
    return { status: 202, json: await removal(context, target, query.timeout_secs, note) };
  },
});

const workerMetrics = route({
  method: 'GET',
  path: '/workers/{url}/metrics',
  about: "The worker's own /metrics, as it answers.",
  answers: {
    200: { about: 'Prometheus text; the status is the worker’s.' },
    404: { about: 'Unknown.' },
    502: { about: 'It did not answer within 5 s.' },
  },
  async handle(context, { url }) {
    const target = targetOfPath(url);
    const [worker] = context.registrar.workersOf(target);
    if (!worker) throw notFound(target);
    const request = {
      ...{ method: 'GET', path: '/metrics', body: undefined, upgrade: undefined },
      reserved: true,
    };
    const answer = await collect(
      context.clientOf(worker),
      { ...request, headers: probeHeaders(worker.spec) },
      context.clock,
      { timeoutMs: METRICS_TIMEOUT_MS, maxBytes: MAX_METRICS_BYTES },
    );
    if (answer.kind === 'response') return { status: answer.status, text: answer.body.toString('utf8') };
    throw new AdminError('WORKER_UNREACHABLE', `${target}: ${answer.message}`);
  },
});

export const WORKER_ROUTES: readonly AdminRoute[] = [
  addWorker,
  listWorkers,
  showOne,
  removeWorker,
  workerMetrics,
];
