import type { Ask, Choice, PolicyEvent, Pool } from '../../routing/policy.ts';
import type { EngineStatsView } from '../fleet/fleet-view.ts';
import { Baseline, type BaselineDeps } from './baseline.ts';
import { lowest } from './lowest.ts';

/** Join the shortest queue: fewest requests of the router's own count. */
export class LeastRequests extends Baseline {
  readonly name = 'least_requests';

  choose(_ask: Ask, pool: Pool): Choice {
    return lowest(pool, (slot) => this.deps.loads.running(slot), 'least_requests', {
      random: this.deps.random,
    });
  }
}

/** How often vLLM's data-parallel coordinator tells its front ends the engines' counts, ms. */
const COORDINATOR_MS = 100;

/**
 * vLLM's own balancing between data-parallel engines: least `4 * waiting + running`, from counts of every 100 ms to
 * which the front end adds what it has dispatched since as waiting; the first of equals wins.
 */
export class VllmDataParallelScore extends Baseline {
  readonly name = 'vllm_dp';
  readonly #stats: EngineStatsView;
  readonly #sent: number[] = [];
  #countedAt = 0;

  constructor(deps: BaselineDeps) {
    super(deps);
    this.#stats = deps.engineStats(COORDINATOR_MS);
  }

  choose(_ask: Ask, pool: Pool): Choice {
    const round = Math.floor(this.deps.clock.now() / COORDINATOR_MS);
    if (round !== this.#countedAt) this.#sent.length = 0;
    this.#countedAt = round;
    return lowest(
      pool,
      (slot) => 4 * (this.#stats.waiting(slot) + (this.#sent[slot] ?? 0)) + this.#stats.running(slot),
      'score',
    );
  }

  override observe(event: PolicyEvent): void {
    if (event.type === 'dispatched') this.#sent[event.slot] = (this.#sent[event.slot] ?? 0) + 1;
  }
}
