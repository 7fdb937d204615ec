import { policyInForce, type AnyPolicyConfig } from '../schema/plugin-policy-schema.ts';
import { isPairCost } from '../schema/stage-policy-schema.ts';
import type { Config } from '../schema/schema.ts';

type PolicyKeys = Pick<Config, 'policy' | 'model_policies' | 'prefill_policy' | 'decode_policy'>;

/** Every policy that the configuration names, and the default one. */
export function policiesIn(config: PolicyKeys): readonly AnyPolicyConfig[] {
  const ofStages = [config.prefill_policy, config.decode_policy].flatMap((policy) =>
    policy === undefined || isPairCost(policy) ? [] : [policy],
  );
  return [policyInForce(config), ...Object.values(config.model_policies), ...ofStages];
}
