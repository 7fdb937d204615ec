import * as z from 'zod';
import { PAIR_COST } from '../settings/pd-settings.ts';
import { livePolicy, POLICY_NAMES, startedPolicy } from './live-policy-schema.ts';
import type { AnyPolicyConfig } from './plugin-policy-schema.ts';

/** No policy of its own: the cost of pairs decides, whatever `policy` is. */
const pairCost = z.strictObject({ type: z.literal(PAIR_COST) });
export type PairCostConfig = z.output<typeof pairCost>;

/** What chooses the worker for one half of a request. */
export type StagePolicyConfig = AnyPolicyConfig | PairCostConfig;

export function isPairCost(policy: StagePolicyConfig): policy is PairCostConfig {
  return policy.type === PAIR_COST;
}

function orPairCost(policies: typeof livePolicy) {
  return z
    .unknown()
    .transform((value, context): StagePolicyConfig => {
      const isPairs = value === PAIR_COST || (isObject(value) && value['type'] === PAIR_COST);
      const policy = value === PAIR_COST ? { type: PAIR_COST } : value;
      const parsed = isPairs ? pairCost.safeParse(policy) : policies.safeParse(value);
      if (parsed.success) return parsed.data;
      // Values are looked up again by the paths.
      for (const issue of parsed.error.issues)
        context.issues.push({ ...issue, path: [...issue.path], input: value } as z.core.$ZodRawIssue);
      return z.NEVER;
    })
    .meta({
      anyOf: [
        { type: 'string', examples: [PAIR_COST, ...POLICY_NAMES] },
        { type: 'object', required: ['type'] },
      ],
      description: `A policy, as its name or an object; ${PAIR_COST}: the cost of pairs decides`,
    });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** In the configuration. */
export const stagePolicy = orPairCost(startedPolicy);
/** While the router runs. */
export const liveStagePolicy = orPairCost(livePolicy);
