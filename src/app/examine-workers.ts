import type { Admittance } from '../doctor/admittance.ts';
import type { Settings, WorkerSpec } from '../config/settings/settings.ts';
import type { SharedState } from './shared-state.ts';

/** Longest time for one check of a worker that wants to be admitted. */
const CHECK_MS = 30_000;

/** Has the doctor look at workers before they are registered. It is loaded when the first one is to be looked at. */
export async function examineWorkers(
  specs: readonly WorkerSpec[],
  settings: Settings,
  { clock, random, sockets }: Pick<SharedState, 'clock' | 'random' | 'sockets'>,
  signal: AbortSignal,
): Promise<Admittance> {
  const { examineFleet } = await import('../doctor/examine-fleet.ts');
  const { admittanceOf } = await import('../doctor/admittance.ts');
  const deps = { settings, clock, random, sockets, timeoutMs: CHECK_MS };
  return admittanceOf(await examineFleet(specs, deps, { signal }));
}
