import { isPluginPolicy, policyInForce } from '../schema/plugin-policy-schema.ts';
import { policySchema, type PolicyConfig } from '../schema/policy-schema.ts';
import type { Config } from '../schema/schema.ts';
import { isPairCost, type StagePolicyConfig } from '../schema/stage-policy-schema.ts';

type IndexPolicy = Extract<PolicyConfig, { readonly max_tree_size: number }>;
export type IndexParameters = Pick<IndexPolicy, 'max_tree_size' | 'eviction_interval_secs'>;

export const INDEX_DEFAULTS: IndexParameters = defaults();

function defaults(): IndexParameters {
  const policy = policySchema.parse({ type: 'least_work' });
  if (!('max_tree_size' in policy)) throw new Error('least_work has lost the parameters of the index');
  return policy;
}

/** The bounds of the predicted index: those of `policy`, else of the policy of a stage, the first that has some. */
export function indexParameters(
  config: Pick<Config, 'policy' | 'prefill_policy' | 'decode_policy'>,
): IndexParameters {
  const { prefill_policy: prefill, decode_policy: decode } = config;
  const all = config.policy === undefined ? [prefill, decode] : [config.policy, prefill, decode];
  return (
    all.map(parametersOf).find((found) => found !== undefined) ??
    parametersOf(policyInForce(config)) ??
    INDEX_DEFAULTS
  );
}

function parametersOf(given: StagePolicyConfig | undefined): IndexParameters | undefined {
  if (given === undefined || isPairCost(given)) return undefined;
  const policy = isPluginPolicy(given) ? given.fallback : given;
  return 'max_tree_size' in policy ? policy : undefined;
}
