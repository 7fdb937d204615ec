import type { WorkerSpec } from '../config/settings/settings.ts';
import type { Check } from './check.ts';
import { CHECKS } from './checks/index.ts';
import type { Examination } from './examine.ts';
import { examineWorker, type DoctorDeps } from './examine-worker.ts';
import { OwnText } from './own-text.ts';
import { Turns } from './turns.ts';

/** Workers that are examined side by side: each has a handful of connections. */
const AT_ONCE = 16;

export interface FleetProgress {
  /** Checks that have ended, 0 to 1. */
  readonly done: number;
  readonly worker: string;
  readonly check: string;
}

export interface FleetOptions {
  /** All there are by default. */
  readonly checks?: readonly Check[];
  readonly onProgress?: (progress: FleetProgress) => void;
  /** Aborted when nobody wants the report any more. */
  readonly signal?: AbortSignal;
}

/** All workers, some of them at a time; the reports are in the workers' order. */
export async function examineFleet(
  specs: readonly WorkerSpec[],
  deps: Omit<DoctorDeps, 'text' | 'fleet' | 'turns'>,
  { checks = CHECKS, onProgress, signal }: FleetOptions = {},
): Promise<readonly Examination[]> {
  const examinations: Examination[] = [];
  const all = specs.length * checks.length;
  const waiting = specs.entries();
  let begun = 0;
  const text = new OwnText(deps.clock);
  const turns = new Turns();
  const takeTurns = async (): Promise<void> => {
    for (const [at, spec] of waiting) {
      const onCheck = (check: string): void => {
        onProgress?.({ done: begun / all, worker: spec.id, check });
        begun += 1;
      };
      examinations[at] = await examineWorker(
        spec,
        { ...deps, text: text.open, fleet: specs, turns },
        { checks, onCheck, ...(signal && { signal }) },
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, specs.length) }, takeTurns));
  } finally {
    await text.close();
  }
  return examinations;
}
