import * as z from 'zod';
import { AdminError } from './admin-error.ts';
import { auditFields, type ReloadOutcome } from './reload-report.ts';
import { route, type AdminRoute } from './route.ts';

const reload = route({
  method: 'POST',
  path: '/admin/reload',
  action: 'config.reload',
  about:
    'Read the configuration again, from the file, flags and variables of the start, and put it in force. Requests under way finish with the settings they began with; what was learnt is kept. What cannot be read or is not valid changes nothing.',
  query: z.strictObject({
    dry_run: z
      .enum(['0', '1', 'true', 'false'])
      .default('0')
      .meta({ description: '1: say what would change, change nothing' }),
  }),
  answers: {
    200: {
      about: 'What has changed or, with `dry_run=1`, would change.',
      schema: z.strictObject({
        status: z.enum(['ok', 'dry_run']),
        reload: z.string().meta({ description: 'In words' }),
        workers_added: z.array(z.string()),
        workers_drained: z.array(z.string()),
        workers_updated: z.array(z.string()).meta({ description: 'In place: load, health and circuit stay' }),
        changed: z.array(
          z.strictObject({
            key: z.string(),
            how: z.enum(['applied', 'adopted', 'reset', 'restart_needed']),
            detail: z.string(),
          }),
        ),
        notices: z.array(z.string()),
      }),
    },
    400: { about: 'Started without a file, or what it says is not valid; `problems` has the place of each.' },
    500: { about: 'The file could not be read.' },
  },
  async handle(context, { query, note }) {
    const dryRun = query.dry_run === '1' || query.dry_run === 'true';
    const outcome = await context.reload({ who: 'admin', dryRun });
    note({ dry_run: dryRun, ...auditFields(outcome) });
    return { status: 200, json: answerOf(outcome, dryRun) };
  },
});

function answerOf(outcome: ReloadOutcome, dryRun: boolean): object {
  switch (outcome.kind) {
    case 'refused':
      throw new AdminError('RELOAD_REFUSED', outcome.message, { problems: outcome.problems });
    case 'failed':
      throw new AdminError('RELOAD_FAILED', outcome.message, { problems: outcome.problems });
    case 'done': {
      const { report } = outcome;
      return {
        status: dryRun ? 'dry_run' : 'ok',
        reload: report.text,
        workers_added: report.workersAdded,
        workers_drained: report.workersDrained,
        workers_updated: report.workersUpdated,
        changed: report.changes,
        notices: report.notices,
      };
    }
  }
}

export const RELOAD_ROUTES: readonly AdminRoute[] = [reload];
