import type { Clock } from '../../src/base/clock.ts';
import { DEFAULT_TRAITS, type WorkerSpec } from '../../src/config/settings/settings.ts';
import type { LoadLedger } from '../../src/workers/ledger.ts';
import { WorkerRegistry } from '../../src/workers/registry.ts';
import { BREAKER, HEALTH } from './registry-settings.ts';

/** A registry with nobody in it. */
export function openTestRegistry(clock: Clock, ledger: LoadLedger): WorkerRegistry {
  return new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
}

export function specOf(url: string): WorkerSpec {
  return { baseUrl: url, id: url, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS };
}
