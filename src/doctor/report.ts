import * as z from 'zod';
import { MARKS } from './finding.ts';
import { isHealthy, type Examination } from './examine.ts';

const finding = z.strictObject({
  check: z.string().meta({ description: 'Name of the check' }),
  mark: z.enum(MARKS),
  finding: z.string().meta({ description: 'What was found, in one line' }),
  remedy: z.string().nullable().meta({ description: 'What to do about it' }),
  ms: z.int().meta({ description: 'How long the check took' }),
});

const cost = z.strictObject({
  requests: z.int(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
});

/** What `vllm-router doctor --json` prints. */
export const doctorReport = z.strictObject({
  schema_version: z.literal(1),
  checked_at: z.iso.datetime(),
  router: z.string().nullable().meta({ description: 'The running router whose workers these are' }),
  healthy: z.boolean().meta({ description: 'Whether no check failed' }),
  workers: z.array(
    z.strictObject({
      worker: z.string(),
      healthy: z.boolean(),
      cost: cost.meta({ description: 'What the probes had this worker compute' }),
      checks: z.array(finding),
    }),
  ),
});

export type DoctorReport = z.output<typeof doctorReport>;

export function reportOf(
  examinations: readonly Examination[],
  /** Wall clock, ms. */
  { checkedAt, router }: { readonly checkedAt: number; readonly router: string | undefined },
): DoctorReport {
  return {
    schema_version: 1,
    checked_at: new Date(checkedAt).toISOString(),
    router: router ?? null,
    healthy: examinations.every(isHealthy),
    workers: examinations.map(({ worker, results, cost: spent }) => ({
      worker,
      healthy: isHealthy({ results }),
      cost: { ...spent },
      checks: results.map(({ check, mark, text, remedy, ms }) => ({
        check,
        mark,
        finding: text,
        remedy: remedy ?? null,
        ms,
      })),
    })),
  };
}
