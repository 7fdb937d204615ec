import type { Finding } from './finding.ts';
import type { Patient } from './patient.ts';

/** One question about a worker. */
export interface Check {
  /** One word: it stands in the table and in the JSON. */
  readonly name: string;
  /** For the guide and the JSON's reader. */
  readonly about: string;
  /** Checks without whose success this one could only repeat what they say. They stand before it in the list. */
  readonly needs: readonly string[];
  /** It has the worker compute a prompt, which it must be able to do by itself. */
  readonly computes?: true;
  /** `signal` is aborted when the time for the check is up: whatever is under way ends with it. */
  run(patient: Patient, signal: AbortSignal): Promise<Finding>;
}
