import * as z from 'zod';
import type { Admission } from '../limits/admission.ts';

/** An answer stays readable, however many tenants wait. */
const MOST_FLOWS_SHOWN = 50;

export const queueSchema = z.strictObject({
  waiting: z.strictObject({ high: z.int(), normal: z.int(), low: z.int() }),
  flows: z.int(),
  longest: z.array(
    z.strictObject({
      tenant: z.string().nullable(),
      class: z.enum(['high', 'normal', 'low']),
      waiting: z.int(),
      deficit_tokens: z.int(),
    }),
  ),
});

/** Who waits for admission: by class, and the flows with the most waiting. */
export function queueView(
  admission: Pick<Admission, 'queuedOf' | 'flowCount' | 'flows'>,
): z.input<typeof queueSchema> {
  return {
    waiting: {
      high: admission.queuedOf('high'),
      normal: admission.queuedOf('normal'),
      low: admission.queuedOf('low'),
    },
    flows: admission.flowCount,
    longest: admission.flows(MOST_FLOWS_SHOWN).map(({ name, priority, waiting, deficit }) => ({
      tenant: name === '' ? null : name,
      class: priority,
      waiting,
      deficit_tokens: deficit,
    })),
  };
}
