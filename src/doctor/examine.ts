import { servesAlone } from '../engines/prefill-decode/index.ts';
import type { Check } from './check.ts';
import { CHECKS } from './checks/index.ts';
import { fail, quote, skipped, type Finding } from './finding.ts';
import type { Cost, Patient } from './patient.ts';

/** One line of a worker's report. */
export interface CheckResult extends Finding {
  readonly check: string;
  readonly ms: number;
}

export interface Examination {
  readonly worker: string;
  readonly results: readonly CheckResult[];
  readonly cost: Readonly<Cost>;
}

export interface ExamineOptions {
  readonly checks?: readonly Check[];
  /** Told before each check. */
  readonly onCheck?: (check: string) => void;
  /** Aborted when nobody wants the report any more: what is left is skipped then. */
  readonly signal?: AbortSignal;
}

/** All checks of one worker, one after the other, none longer than its deadline. Never rejects. */
export async function examine(
  patient: Patient,
  { checks = CHECKS, onCheck, signal }: ExamineOptions = {},
): Promise<Examination> {
  const results: CheckResult[] = [];
  for (const check of checks) {
    onCheck?.(check.name);
    const startedAt = patient.clock.now();
    const finding =
      impossible(check, patient) ?? missing(check, results) ?? (await withDeadline(check, patient, signal));
    results.push({ check: check.name, ...finding, ms: Math.round(patient.clock.now() - startedAt) });
  }
  return { worker: patient.spec.id, results, cost: patient.cost };
}

/** Such a worker would answer from what nobody has handed over, or end. */
function impossible({ computes }: Check, { spec, expected }: Patient): Finding | undefined {
  if (computes !== true || servesAlone(expected.kvConnector, spec)) return undefined;
  return skipped('it serves nothing but halves of requests');
}

/** Why a check has nothing to stand on. */
function missing({ needs }: Check, results: readonly CheckResult[]): Finding | undefined {
  const lacking = results.find(
    ({ check, mark }) => needs.includes(check) && (mark === 'fail' || mark === 'skipped'),
  );
  return lacking && skipped(`needs ${lacking.check}`);
}

async function withDeadline(check: Check, patient: Patient, outer?: AbortSignal): Promise<Finding> {
  if (outer?.aborted === true) return skipped('given up');
  const { clock, timeoutMs } = patient;
  const controller = new AbortController();
  let timer = { cancel: (): void => undefined };
  const late = new Promise<Finding>((resolve) => {
    timer = clock.after(timeoutMs, () => {
      resolve(
        fail(
          `no result within ${String(timeoutMs / 1000)} s`,
          'The worker takes requests and does not answer them, or is slower than that: see its log and its load, or give it longer with --check-timeout-secs.',
        ),
      );
    });
    outer?.addEventListener('abort', () => resolve(skipped('given up')), { signal: controller.signal });
  });
  try {
    return await Promise.race([check.run(patient, controller.signal), late]);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return fail(
      `the check itself failed: ${quote(message)}`,
      'This is a fault of the router: please report it.',
    );
  } finally {
    timer.cancel();
    controller.abort();
  }
}

/** Whether none of the checks failed. */
export function isHealthy({ results }: Pick<Examination, 'results'>): boolean {
  return results.every(({ mark }) => mark !== 'fail');
}
