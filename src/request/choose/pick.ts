import { wholeBlocks } from '../../routing/blocks.ts';
import { CACHE_SOURCES, type CacheSource, type Choice, type Policy } from '../../routing/policy.ts';
import type { PoolView } from '../../workers/pool-view.ts';
import type { Worker } from '../../workers/worker.ts';
import type { DecisionMethod } from '../record/decision.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import { clusterPool } from './cluster-pool.ts';
import { ownerIndex, ownerServes } from './call-pool.ts';

/** A member of a pool, and who named it. */
export interface Picked {
  readonly pool: PoolView;
  readonly index: number;
  readonly worker: Worker;
  readonly method: DecisionMethod;
  readonly reason: string;
  /** Absent when a selector before the policy decided. */
  readonly choice: Extract<Choice, { kind: 'chosen' }> | undefined;
  /** Name of the policy that was asked, or would have been. */
  readonly asked: string;
  /** Name of the policy that decided, or would have. */
  readonly policy: string;
  /** How the cache of the worker is known. */
  readonly cacheSource: CacheSource;
}

/** What there is to know of whoever has chosen. */
export type Decides = Pick<Policy, 'name' | 'needs'>;

/** Nobody can take it. */
export interface NoPlan {
  readonly kind: 'none';
  readonly pool: PoolView;
}

/** What is expected of the request on the worker that was picked. */
export interface Prediction {
  readonly promptTokens: number;
  readonly uncachedTokens: number;
  readonly predictedCachedTokens: number | undefined;
  readonly predictedTtftMs: number | undefined;
}

/**
 * The owner of what the request is about, else a worker of its cluster, else whom the model's policy chooses. `peek`: the policy is not
 * to remember it.
 */
export function pickWorker(rt: Runtime, call: Call, pool: PoolView, peek: boolean): Picked | undefined {
  const owner = ownerIndex(rt, call, pool);
  if (owner < 0) {
    const of = { policy: call.policy, pool, peek };
    return pickWithin(rt, call, of) ?? pickBy(rt, call, of);
  }
  if (!ownerServes(pool, owner)) return undefined;
  const { name } = call.policy;
  return {
    ...{ pool, index: owner, worker: memberAt(pool, owner), method: 'owner', reason: 'stored_resource' },
    ...{ choice: undefined, asked: name, policy: name, cacheSource: cacheSourceOf(rt, call.policy, owner) },
  };
}

/** Among the workers of the request's cluster; undefined where it has none that can take it. */
function pickWithin(rt: Runtime, call: Call, { policy, pool, peek }: Asks): Picked | undefined {
  const within = clusterPool(rt, call, pool);
  if (!within) return undefined;
  const picked = pickBy(rt, call, { policy: policyWithin(rt, policy), pool: within, peek });
  return picked && { ...picked, method: 'cluster' };
}

/** Who chooses among the workers of a cluster. */
export function policyWithin<Own extends Policy | undefined>(
  { semantic, settings }: Runtime,
  policy: Own,
): Own | Policy {
  return settings.semantic.clusters?.within === 'round_robin' ? semantic.turns : policy;
}

interface Asks {
  readonly policy: Policy;
  readonly pool: PoolView;
  readonly peek: boolean;
}

export function pickBy(
  rt: Runtime,
  { ask, prepared }: Call,
  { policy, pool, peek }: Asks,
): Picked | undefined {
  if (pool.eligible === 0) return undefined;
  const known = prepared?.get(policy);
  const choice = peek && policy.peek ? policy.peek(ask, pool, known) : policy.choose(ask, pool, known);
  return choice.kind === 'none' ? undefined : pickOf(rt, { policy, pool, choice });
}

export function pickOf(
  rt: Runtime,
  {
    policy,
    pool,
    choice,
  }: {
    readonly policy: Decides;
    readonly pool: PoolView;
    readonly choice: Extract<Choice, { kind: 'chosen' }>;
  },
): Picked {
  const { index } = choice;
  return {
    pool,
    index,
    worker: memberAt(pool, index),
    method: choice.method ?? 'policy',
    reason: choice.reason,
    choice,
    asked: policy.name,
    policy: choice.fallback?.policy ?? policy.name,
    cacheSource: cacheSourceOf(rt, policy, index, choice),
  };
}

function memberAt(pool: PoolView, index: number): Worker {
  const worker = pool.members[index];
  if (!worker) throw new Error(`the policy chose member ${index} of ${pool.members.length}`);
  return worker;
}

function cacheSourceOf(rt: Runtime, { needs }: Decides, index: number, choice?: Choice): CacheSource {
  const sources = choice?.kind === 'chosen' ? choice.knowledge?.sources : undefined;
  if (sources) return CACHE_SOURCES[sources[index] ?? 0] ?? 'none';
  return rt.cacheIndex && needs.cache ? 'predicted' : 'none';
}

export function predict(rt: Runtime, call: Call, { worker, index, choice }: Picked): Prediction {
  const { slot, cacheConfig } = worker;
  const matched = choice?.matchedTokens?.[index];
  const promptTokens = call.ask.promptTokens();
  const blockSize = rt.policies.blockSizeOf(slot);
  const cachedTokens =
    matched === undefined || Number.isNaN(matched)
      ? undefined
      : cacheConfig?.prefixCaching === false
        ? 0
        : wholeBlocks(matched, promptTokens, blockSize);
  const uncachedTokens = Math.max(0, promptTokens - (cachedTokens ?? 0));
  const predictedTtftMs = promptTokens > 0 ? rt.ledger.predictedTtftMs(slot, uncachedTokens) : undefined;
  // Of several samples vLLM tells what the last one found: all that the first one has put there.
  const isRepeated = call.samples > 1 && cacheConfig?.prefixCaching !== false;
  const predictedCachedTokens =
    cachedTokens !== undefined && isRepeated
      ? wholeBlocks(promptTokens, promptTokens, blockSize)
      : cachedTokens;
  return { promptTokens, uncachedTokens, predictedCachedTokens, predictedTtftMs };
}
