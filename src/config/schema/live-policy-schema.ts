import * as z from 'zod';
import { anyPolicySchema, isBuiltInPolicy } from './plugin-policy-schema.ts';
import { policySchema } from './policy-schema.ts';

/** Those that are built in. */
export const POLICY_NAMES = policySchema.options.map((option) => option.shape.type.value);

/** Parameters of the predicted index, of which there is one. */
const OF_THE_INDEX = {
  max_tree_size: 'the predicted index is one for all policies and keeps the size it was started with',
  eviction_interval_secs:
    'the predicted index is one for all policies and keeps the period it was started with',
} as const;

/** Those of other parts that are made at the start and that all policies share. */
const OF_OTHER_PARTS = {
  load_check_interval_secs: 'the workers are polled in the period that was configured',
  controller_url: 'the controller is one for all policies: lmcache.controller_url',
  controller_api_key: 'the controller is one for all policies: lmcache.controller_api_key',
  poll_interval_secs: 'the controller is one for all policies: lmcache.poll_interval_secs',
  controller_timeout_ms: 'the controller is one for all policies: lmcache.controller_timeout_ms',
  lmcache_worker_map: 'the controller is one for all policies: lmcache.worker_map',
} as const;

/** Parameters that a policy cannot have which is made while the router runs. */
export const FIXED = { ...OF_THE_INDEX, ...OF_OTHER_PARTS } as const;

const DESCRIPTION = {
  anyOf: [
    { type: 'string', examples: POLICY_NAMES },
    { type: 'object', required: ['type'] },
  ],
  description: 'The name of a policy, or an object as under `policy` in the configuration file',
};

/** A policy by its name, or an object with `type` and its parameters, less those in `fixed`: names, with why not. */
function policyWithout(fixed: Readonly<Record<string, string>>) {
  return z
    .preprocess((value) => (typeof value === 'string' ? { type: value } : value), z.unknown())
    .superRefine((value, context) => {
      if (typeof value !== 'object' || value === null) {
        context.addIssue({ code: 'custom', message: 'expected a policy: a name, or an object with type' });
        return;
      }
      const { type } = value as { readonly type?: unknown };
      // Which other names there are, only the plugins know.
      if (typeof type !== 'string' || type === '') {
        context.addIssue({
          code: 'custom',
          path: ['type'],
          message: `expected one of ${POLICY_NAMES.join(', ')}`,
        });
        return;
      }
      if (!isBuiltInPolicy(type)) return;
      for (const [name, why] of Object.entries(fixed)) {
        if (name in value) context.addIssue({ code: 'custom', path: [name], message: `is fixed: ${why}` });
      }
    })
    .pipe(anyPolicySchema);
}

/**
 * A policy that is made beside or after the one that the router is started with: its name, or an object with `type` and
 * the parameters that are its own.
 */
export const livePolicy = policyWithout(FIXED).meta(DESCRIPTION);

/** A policy that the router is started with beside `policy`: files of other routers have the bounds of the index with each. */
export const startedPolicy = policyWithout(OF_OTHER_PARTS).meta(DESCRIPTION);
