import * as z from 'zod';
import { FIXED, livePolicy, POLICY_NAMES } from '../config/schema/live-policy-schema.ts';
import type { AnyPolicyConfig, KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import { policySettings } from '../config/settings/policy-settings.ts';
import type { PolicyDefaults } from '../config/settings/cache-knowledge.ts';
import { liveStagePolicy, type StagePolicyConfig } from '../config/schema/stage-policy-schema.ts';
import type { PdStage, PolicySettings } from '../config/settings/settings.ts';

/** A policy in the words of the configuration file. */
export type PolicyBody = AnyPolicyConfig;
/** The same of one half of requests. */
export type StagePolicyBody = StagePolicyConfig;

/** A policy's name, or an object with `type` and the parameters that can be set while the router runs. */
export const policyBody = livePolicy;

const model = z.string().min(1).max(1024).optional();
const stage = z.enum(['prefill', 'decode']).optional();

/** What is to be switched to which policy: neither `model` nor `stage` means the default one, `policy` null no policy of its own. */
export interface PolicySwitch {
  readonly model: string | undefined;
  /** The half of requests that are split. */
  readonly stage: PdStage | undefined;
  readonly policy: StagePolicyBody | null;
  /** Where the policy stands in the body. */
  readonly path: readonly string[];
}

/**
 * A policy as above; with `model`, that of one model. Beside `model` the policy may also stand under `policy`, as a name
 * or an object.
 */
export const policySwitch = z
  .unknown()
  .transform((value, context): PolicySwitch => {
    const parts = takeTarget(value);
    const named = model.safeParse(parts.model);
    const half = stage.safeParse(parts.stage);
    const form = parts.stage === undefined ? policyBody : liveStagePolicy;
    const policy = parts.policy === null ? null : form.safeParse(parts.policy);
    if (!named.success) addIssues(context, named.error, ['model']);
    if (!half.success) addIssues(context, half.error, ['stage']);
    if (policy?.success === false) addIssues(context, policy.error, parts.path);
    if (parts.model !== undefined && parts.stage !== undefined)
      context.addIssue({ code: 'custom', path: ['stage'], message: 'expected model or stage, not both' });
    if (!named.success || !half.success || policy?.success === false) return z.NEVER;
    return { model: named.data, stage: half.data, policy: policy && policy.data, path: parts.path };
  })
  .meta({
    anyOf: [
      { type: 'string', examples: POLICY_NAMES },
      { type: 'object', required: ['type'], properties: { model: { type: 'string' } } },
      { type: 'object', required: ['model', 'policy'], properties: { model: { type: 'string' } } },
      {
        type: 'object',
        required: ['stage'],
        properties: { stage: { type: 'string', enum: ['prefill', 'decode'] } },
      },
    ],
    description:
      'The name of a policy, or an object as under `policy` in the configuration file; `model` beside it for the policy of one model, `stage` for that of one half of requests that are split',
  });

interface Parts {
  readonly model?: unknown;
  readonly stage?: unknown;
  readonly policy: unknown;
  readonly path: readonly string[];
}

function takeTarget(value: unknown): Parts {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { policy: value, path: [] };
  const {
    model: named,
    stage: half,
    ...rest
  }: { readonly model?: unknown; readonly stage?: unknown } = value;
  const target = { model: named, stage: half };
  if (!('policy' in rest) || Object.keys(rest).length > 1) return { ...target, policy: rest, path: [] };
  return { ...target, policy: rest.policy, path: ['policy'] };
}

/** The issues as they are, so that they get the words of every other body. */
function addIssues(context: z.RefinementCtx, error: z.ZodError, under: readonly string[]): void {
  for (const issue of error.issues) {
    // An issue that has been raised is one that can be raised.
    const moved = { ...issue, path: [...under, ...issue.path], input: undefined } as z.core.$ZodRawIssue;
    context.issues.push(moved);
  }
}

interface Started {
  readonly policy: PolicyBody;
  readonly defaults: PolicyDefaults;
  readonly plugins: KnownPlugins;
}

/** `policy` for new requests, and as it is shown: what is fixed stays as the router was started. */
export function compilePolicy(
  policy: PolicyBody,
  started: Started,
): { readonly settings: PolicySettings; readonly shown: PolicyBody } {
  const kept = Object.entries(started.policy).filter(([name]) => name in FIXED && name in policy);
  return {
    settings: policySettings(policy, started.defaults, started.plugins),
    shown: { ...policy, ...Object.fromEntries(kept) },
  };
}
