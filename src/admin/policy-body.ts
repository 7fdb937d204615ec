import * as z from 'zod';
import { policySchema, type PolicyConfig } from '../config/policy-schema.ts';
import { policySettings } from '../config/settings-from-config.ts';
import type { PolicySettings } from '../config/settings.ts';

/** A policy in the words of the configuration file. */
export type PolicyBody = PolicyConfig;

const NAMES = policySchema.options.map((option) => option.shape.type.value);

/** Parameters of parts that are made at the start and outlive a switch of the policy. */
const FIXED = {
  max_tree_size: 'the predicted index keeps the size it was started with',
  eviction_interval_secs: 'the predicted index keeps the period it was started with',
  load_check_interval_secs: 'the workers are polled in the period that was configured',
} as const;

/** A policy's name, or an object with `type` and the parameters that can be set while the router runs. */
export const policyBody = z
  .preprocess((value) => (typeof value === 'string' ? { type: value } : value), z.unknown())
  .superRefine((value, context) => {
    if (typeof value !== 'object' || value === null) {
      context.addIssue({ code: 'custom', message: 'expected a policy: a name, or an object with type' });
      return;
    }
    const { type } = value as { readonly type?: unknown };
    if (!NAMES.some((name) => name === type)) {
      context.addIssue({ code: 'custom', path: ['type'], message: `expected one of ${NAMES.join(', ')}` });
      return;
    }
    for (const [name, why] of Object.entries(FIXED)) {
      if (name in value) context.addIssue({ code: 'custom', path: [name], message: `is fixed: ${why}` });
    }
  })
  .pipe(policySchema)
  .meta({
    anyOf: [
      { type: 'string', enum: NAMES },
      { type: 'object', required: ['type'] },
    ],
    description: 'The name of a policy, or an object as under `policy` in the configuration file',
  });

/** `policy` for new requests, and as it is shown: what is fixed stays as the router was started. */
export function compilePolicy(
  policy: PolicyBody,
  started: { readonly policy: PolicyBody; readonly loadCheckIntervalMs: number },
): { readonly settings: PolicySettings; readonly shown: PolicyBody } {
  const kept = Object.entries(started.policy).filter(([name]) => name in FIXED && name in policy);
  return {
    settings: policySettings(policy, started.loadCheckIntervalMs / 1000),
    shown: { ...policy, ...Object.fromEntries(kept) },
  };
}
