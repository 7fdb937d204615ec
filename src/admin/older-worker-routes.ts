import * as z from 'zod';
import { registrationOf, workerEntry } from '../config/schema/worker-entry.ts';
import { workerId } from '../config/schema/worker-url.ts';
import type { AdminContext } from './context.ts';
import { AdminError } from './admin-error.ts';
import { route, type AdminRoute, type Answer } from './route.ts';
import { removal } from './removal.ts';
import { targetOf } from './worker-url-param.ts';

/** Only the URL: everything else is at its default, as in the routers these routes come from. */
const onlyUrl = z.strictObject({ url: z.string() });

const addWorker = route({
  method: 'POST',
  path: '/add_worker',
  action: 'worker.add',
  about: 'The older form of POST /workers: answers in plain text when the worker is registered or cannot be.',
  query: onlyUrl,
  answers: {
    200: { about: '`Successfully added worker: URL`' },
    400: { about: 'Why not, in plain text.' },
  },
  async handle(context, { query, note }) {
    const parsed = workerEntry.safeParse(query);
    if (!parsed.success) return failed(parsed.error.issues[0]?.message ?? 'not a worker URL');
    const registration = registrationOf(parsed.data);
    const target = workerId(registration.address);
    const outcome = context.registrar.add(registration);
    await context.stateFile?.settled();
    note({ target, outcome: outcome.kind });
    switch (outcome.kind) {
      case 'accepted':
        return ended(context, target, await context.registrar.jobs.ended(outcome.job));
      case 'undrained':
        return { status: 200, text: `Successfully added worker: ${target}` };
      case 'present':
        return failed(`Worker ${target} already exists`);
      case 'conflict':
        return failed(outcome.message);
      case 'full':
        return failed('too many jobs are open, or the router is stopping');
    }
  },
});

function ended(
  _context: AdminContext,
  target: string,
  { state }: Awaited<ReturnType<AdminContext['registrar']['jobs']['ended']>>,
): Answer {
  if (state.name === 'done') return { status: 200, text: `Successfully added worker: ${target}` };
  return failed(`Failed to add worker ${target}: ${state.name === 'failed' ? state.reason : state.name}`);
}

function failed(why: string): Answer {
  return { status: 400, text: why };
}

const removeWorker = route({
  method: 'POST',
  path: '/remove_worker',
  action: 'worker.remove',
  about: 'The older form of DELETE /workers/{url}; an unknown worker is no error.',
  query: onlyUrl,
  answers: {
    200: { about: '`Successfully removed worker: URL`; requests it still has may finish.' },
    400: { about: 'The URL is none.' },
  },
  async handle(context, { query, note }) {
    const target = targetOf(query.url, 'query.url');
    try {
      await removal(context, target, undefined, note);
    } catch (error) {
      if (!(error instanceof AdminError && error.code === 'WORKER_NOT_FOUND')) throw error;
    }
    return { status: 200, text: `Successfully removed worker: ${target}` };
  },
});

const listWorkers = route({
  method: 'GET',
  path: '/list_workers',
  about: 'The URLs of all workers.',
  answers: { 200: { about: 'In order of joining.', schema: z.strictObject({ urls: z.array(z.string()) }) } },
  handle: ({ registry }) => ({ status: 200, json: { urls: registry.workers.map(({ id }) => id) } }),
});

export const OLDER_WORKER_ROUTES: readonly AdminRoute[] = [addWorker, removeWorker, listWorkers];
