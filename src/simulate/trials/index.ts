import type { Policy } from '../../routing/policy.ts';
import type { BaselineDeps } from '../baselines/baseline.ts';
import { ExpectedTtft } from './expected-ttft.ts';
import { LeastWorkVariant } from './least-work-variant.ts';

/** What was tried in place of `least_work` and not taken up: kept so that the comparison can be made again. */
export const TRIALS = {
  expected_ttft: (deps) => new ExpectedTtft('expected_ttft', 0, deps),
  expected_ttft_priced: (deps) => new ExpectedTtft('expected_ttft_priced', 0.3, deps),
  least_work_eviction: (deps) => new LeastWorkVariant('least_work_eviction', { eviction: 0.6 }, deps),
  least_work_affinity: (deps) => new LeastWorkVariant('least_work_affinity', { affinity: 0.4 }, deps),
} as const satisfies Record<string, (deps: BaselineDeps) => Policy>;
