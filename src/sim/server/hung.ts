import { metricsText } from './metrics.ts';
import type { SimState } from './sim-state.ts';

/** The engine stops, and what it counts with it; the server does not notice. */
export function setHung(sim: SimState, hung: boolean): void {
  if (hung === (sim.frozenMetrics !== undefined)) return;
  sim.frozenMetrics = hung ? metricsText(sim) : undefined;
  sim.holdOrRun();
}
