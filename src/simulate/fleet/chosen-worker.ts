import type { Ask, Choice, Policy } from '../../routing/policy.ts';
import type { PoolView } from '../../workers/pool-view.ts';
import type { Worker } from '../../workers/worker.ts';

/** Whom a policy has chosen. */
export interface ChosenWorker {
  readonly worker: Worker;
  /** Index into its pool. */
  readonly index: number;
  /** Cached tokens that are expected there; NaN where the policy did not look. */
  readonly predictedTokens: number;
  /** Those of the prompt that it has to compute, then. */
  readonly uncachedTokens: number;
}

/** Undefined where nobody is. `by`: the policy to ask, or what one has answered. */
export function chosenOf(by: Policy | Choice, ask: Ask, pool: PoolView): ChosenWorker | undefined {
  if (pool.eligible === 0) return undefined;
  const choice = 'choose' in by ? by.choose(ask, pool) : by;
  if (choice.kind === 'none') return undefined;
  const { index, matchedTokens } = choice;
  const worker = pool.members[index];
  if (worker === undefined) throw new Error(`the policy chose member ${String(index)}`);
  const predictedTokens = matchedTokens?.[index] ?? NaN;
  const matched = Number.isNaN(predictedTokens) ? 0 : predictedTokens;
  return {
    ...{ worker, index, predictedTokens },
    uncachedTokens: Math.max(0, ask.blocks().totalTokens - matched),
  };
}
