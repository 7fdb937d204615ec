import * as z from 'zod';
import { route, type AdminRoute } from './route.ts';
import { removal } from './removal.ts';
import { notFound, targetOf } from './worker-url-param.ts';
import { jobView, roundSecs, showJob } from './worker-view.ts';

const drain = route({
  method: 'POST',
  path: '/admin/drain',
  action: 'worker.drain',
  about:
    'Drain a worker and remove it, as DELETE /workers/{url} does. POST /workers with the same URL calls it off.',
  body: z.strictObject({
    url: z.string(),
    timeout_secs: z.number().min(0).max(2_147_483).optional().meta({ default: 300 }),
  }),
  answers: {
    202: {
      about: 'Draining. Asked again, the same with the time that is left.',
      schema: z.strictObject({
        status: z.enum(['draining', 'withdrawn']),
        url: z.string(),
        timeout_secs: z.number(),
        job: jobView,
      }),
    },
    404: { about: 'Unknown.' },
  },
  async handle(context, { body, note }) {
    const answer = await removal(context, targetOf(body.url, 'url'), body.timeout_secs, note);
    const { status, url, timeout_secs: left, job } = answer;
    return { status: 202, json: { status, url, timeout_secs: left, job } };
  },
});

const drainStatus = route({
  method: 'GET',
  path: '/admin/drain/status',
  about: 'How far the drain of a worker is.',
  query: z.strictObject({ url: z.string() }),
  answers: {
    200: {
      about: 'For a server with ranks: all of them together.',
      schema: z.strictObject({
        url: z.string(),
        draining: z.boolean(),
        current_load: z.int().meta({ description: "This router's requests that are still running there" }),
        healthy: z.boolean(),
        remaining_secs: z.number().nullable().meta({ description: 'Until what still runs is cut' }),
        job: jobView.nullable(),
      }),
    },
    404: { about: 'Unknown, or already removed.' },
  },
  handle({ registrar, ledger }, { query }) {
    const url = targetOf(query.url, 'query.url');
    const workers = registrar.workersOf(url);
    const [first] = workers;
    if (!first) throw notFound(url);
    const left = workers.map((worker) => registrar.drainLeftMs(worker)).filter((ms) => ms !== undefined);
    const job = left.length > 0 ? registrar.jobOf(first) : undefined;
    return {
      status: 200,
      json: {
        url,
        draining: workers.every(({ draining }) => draining),
        current_load: workers.reduce((sum, { slot }) => sum + ledger.own(slot), 0),
        healthy: workers.every(({ health }) => health.healthy),
        remaining_secs: left.length > 0 ? roundSecs(Math.max(...left)) : null,
        job: job ? showJob(job) : null,
      },
    };
  },
});

export const DRAIN_ROUTES: readonly AdminRoute[] = [drain, drainStatus];
