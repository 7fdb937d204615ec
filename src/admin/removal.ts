import * as z from 'zod';
import { AdminError } from './admin-error.ts';
import type { AdminContext } from './context.ts';
import type { RemoveOutcome } from './registrar.ts';
import { notFound } from './worker-url-param.ts';
import { jobView, roundSecs, showJob } from './worker-view.ts';

/** How a removal was taken. */
export const removed = z.strictObject({
  success: z.literal(true),
  status: z.enum(['draining', 'withdrawn']),
  message: z.string(),
  url: z.string(),
  timeout_secs: z.number(),
  job: jobView,
});

/** Drains and removes, for every route that does. Throws where there is nothing to remove. */
export async function removal(
  context: AdminContext,
  target: string,
  secs: number | undefined,
  note: (fields: Readonly<Record<string, unknown>>) => void,
): Promise<z.output<typeof removed>> {
  const outcome = context.registrar.remove(target, secs === undefined ? undefined : secs * 1000);
  note({ target, outcome: outcome.kind });
  await context.stateFile?.settled();
  return removalAnswer(target, outcome);
}

function removalAnswer(target: string, outcome: RemoveOutcome): z.output<typeof removed> {
  switch (outcome.kind) {
    case 'unknown':
      throw notFound(target);
    case 'conflict':
      throw new AdminError('WORKER_CONFLICT', outcome.message);
    case 'full':
      throw queueFull();
    case 'withdrawn':
      return {
        success: true,
        status: 'withdrawn',
        message: `The registration of ${target} was given up`,
        url: target,
        timeout_secs: 0,
        job: showJob(outcome.job),
      };
    case 'accepted':
    case 'draining':
      return {
        success: true,
        status: 'draining',
        message: `Worker ${target} gets no new requests and is removed when those it has are done`,
        url: target,
        timeout_secs: roundSecs(outcome.leftMs),
        job: showJob(outcome.job),
      };
  }
}

export function queueFull(): AdminError {
  return new AdminError('QUEUE_FULL', 'too many jobs are open, or the router is stopping');
}
