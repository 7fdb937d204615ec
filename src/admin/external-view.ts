import * as z from 'zod';
import type { Worker } from '../workers/worker.ts';
import type { AdminContext } from './context.ts';

/** What is shown of a provider beside what every worker has; neither its key nor its headers. */
export const externalView = z.strictObject({
  name: z.string(),
  any_model: z.boolean().meta({ description: 'It is asked for whatever model a rule leads there with' }),
  model_prefix: z.string(),
  max_concurrent: z.int(),
  unsupported_fields: z.enum(['drop', 'reject']),
  cooling_down_secs: z.number().meta({ description: 'For how long it is left alone; 0 = it is asked' }),
  cooling_down_status: z.int().nullable().meta({ description: 'What it said' }),
});

export function showExternal(
  { coolDowns }: AdminContext,
  worker: Worker,
  now: number,
): { external?: z.output<typeof externalView> } {
  const { external } = worker.traits;
  if (!external) return {};
  return {
    external: {
      name: external.name,
      any_model: external.models === undefined && !external.fetchesModels,
      model_prefix: external.modelPrefix,
      max_concurrent: external.maxConcurrent,
      unsupported_fields: external.unsupportedFields,
      cooling_down_secs: Math.round(coolDowns.leftMs(worker, now)) / 1000,
      cooling_down_status: coolDowns.statusOf(worker, now) ?? null,
    },
  };
}
