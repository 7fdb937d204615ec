import type { Policy } from '../../routing/policy.ts';
import type { BaselineDeps } from './baseline.ts';
import { DynamoCost } from './dynamo-cost.ts';
import { BoundedLoadPrefixHash, DualMap } from './hash-placement.ts';
import { LmetricProduct } from './lmetric-product.ts';
import { LeastRequests, VllmDataParallelScore } from './load-only.ts';
import { PrebleE2 } from './preble-e2.ts';
import { SglangCacheAware } from './sglang-cache-aware.ts';
import { WeightedScorers } from './weighted-scorers.ts';

/** The field's formulas, to be measured against; not offered by the server. */
export const BASELINES = {
  least_requests: (deps) => new LeastRequests(deps),
  vllm_dp: (deps) => new VllmDataParallelScore(deps),
  sglang_cache_aware: (deps) => new SglangCacheAware(deps),
  dynamo_cost: (deps) => new DynamoCost(deps),
  llm_d_default: (deps) => new WeightedScorers(deps),
  preble_e2: (deps) => new PrebleE2(deps),
  bounded_load_prefix_hash: (deps) => new BoundedLoadPrefixHash(deps),
  dual_map: (deps) => new DualMap(deps),
  lmetric_product: (deps) => new LmetricProduct(deps),
} as const satisfies Record<string, (deps: BaselineDeps) => Policy>;
