import * as z from 'zod';
import type { HookPlugin, PolicyPlugin } from '../../plugins/plugin.ts';
import { key, milliseconds } from './field.ts';
import { DEFAULT_POLICY, policySchema, type PolicyConfig as BuiltInPolicyConfig } from './policy-schema.ts';
import { unknownValueHint } from './not-offered.ts';

export type { BuiltInPolicyConfig };

/** What a plugin's own check says of the parameters that a configuration gives its policy. */
export type PluginReading<Plugin> =
  | { readonly kind: 'ok'; readonly plugin: Plugin; readonly parameters: unknown }
  | { readonly kind: 'bad'; readonly path: readonly string[]; readonly message: string };

/** What the plugins bring that have been loaded. */
export interface KnownPlugins {
  /** True where some could not be loaded: a name that is not known may be one of theirs. */
  readonly incomplete?: boolean;
  readonly policyNames: readonly string[];
  /** Undefined where no plugin has a policy of that name. */
  policy(
    name: string,
    parameters: Readonly<Record<string, unknown>>,
  ): PluginReading<PolicyPlugin> | undefined;
  readonly hookNames: readonly string[];
  hook(name: string, parameters: Readonly<Record<string, unknown>>): PluginReading<HookPlugin> | undefined;
}

export const NO_PLUGINS: KnownPlugins = {
  policyNames: [],
  policy: () => undefined,
  hookNames: [],
  hook: () => undefined,
};

const BUILT_IN = new Set<unknown>(policySchema.options.map((option) => option.shape.type.value));

/** Stands where a built-in policy has its name. */
export const PLUGIN_POLICIES = "a plugin's";

const fallback = z
  .unknown()
  .transform((value, context): BuiltInPolicyConfig => {
    const named = typeof value === 'string';
    const policy = named ? { type: value } : value;
    if (BUILT_IN.has(typeOf(policy))) return parsedBy(policySchema, policy, context);
    const message = `expected one of ${[...BUILT_IN].join(', ')}`;
    context.addIssue({ code: 'custom', path: named ? [] : ['type'], message });
    return z.NEVER;
  })
  .prefault({ type: DEFAULT_POLICY });

function typeOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined;
}

/** What one of several forms comes to, or its issues as they are. */
function parsedBy<T extends z.ZodType>(schema: T, value: unknown, context: z.RefinementCtx): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // Values are looked up again by the paths.
  for (const issue of parsed.error.issues)
    context.issues.push({ ...issue, path: [...issue.path], input: value } as z.core.$ZodRawIssue);
  return z.NEVER;
}

/** What the router itself reads of a plugin's policy; every other key is a parameter of the plugin. */
const commonKeys = {
  fallback: key(fallback, {
    group: 'Policy',
    flags: [],
    env: false,
    about:
      'Chooses where the plugin throws, answers nonsense or is late: a built-in policy, by name or as a mapping.',
    defaultText: DEFAULT_POLICY,
  }),
  timeout_ms: key(milliseconds().default(50), {
    group: 'Policy',
    flags: [],
    env: false,
    about: 'How long the asynchronous part of the plugin may take for each request.',
  }),
  overrun_ms: key(z.number().positive().max(60_000).default(10), {
    group: 'Policy',
    flags: [],
    env: false,
    about:
      'What runs at once and takes longer is an overrun; the third within a minute and 300 calls ends the use of the plugin.',
  }),
};

export const PLUGIN_POLICY_KEYS = z.strictObject(commonKeys);

const pluginPolicy = z.looseObject({ type: z.string().min(1).brand<'plugin policy'>(), ...commonKeys });

/** A policy of a plugin, its own parameters among the keys as they were written. */
export type PluginPolicyConfig = z.output<typeof pluginPolicy>;

export type AnyPolicyConfig = BuiltInPolicyConfig | PluginPolicyConfig;

export function isBuiltInPolicy(type: unknown): boolean {
  return BUILT_IN.has(type);
}

export function isPluginPolicy(policy: AnyPolicyConfig): policy is PluginPolicyConfig {
  return !BUILT_IN.has(policy.type);
}

/** A built-in policy, whose parameters are all known here, or one that a plugin may have: that is found out later. */
export const anyPolicySchema = z.unknown().transform((value, context): AnyPolicyConfig => {
  const type = typeOf(value);
  return typeof type === 'string' && !BUILT_IN.has(type)
    ? parsedBy(pluginPolicy, value, context)
    : parsedBy(policySchema, value, context);
});

const DEFAULT: AnyPolicyConfig = policySchema.parse({ type: DEFAULT_POLICY });

/** The policy that holds: what is configured may be left out. */
export function policyInForce({
  policy,
}: {
  readonly policy?: AnyPolicyConfig | undefined;
}): AnyPolicyConfig {
  return policy ?? DEFAULT;
}

/**
 * What is wrong with a plugin's policy beyond the keys that the router reads; empty where nothing is.
 * @param others Names that could have stood there beside those of policies.
 */
export function pluginPolicyProblems(
  policy: AnyPolicyConfig,
  plugins: KnownPlugins,
  others: readonly string[] = [],
): readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] {
  if (!isPluginPolicy(policy)) return [];
  const reading = readPluginPolicy(policy, plugins);
  if (reading?.kind === 'ok') return [];
  if (reading) return [{ path: reading.path.length > 0 ? reading.path : ['type'], message: reading.message }];
  if (plugins.incomplete === true) return [];
  const names = [...BUILT_IN].map(String).concat(plugins.policyNames, others);
  const hint = unknownValueHint(policy.type, names);
  const message = `expected one of ${names.join(', ')}, got ${JSON.stringify(policy.type)}${hint}`;
  return [{ path: ['type'], message }];
}

/** Undefined where no plugin has it. */
export function readPluginPolicy(
  policy: PluginPolicyConfig,
  plugins: KnownPlugins,
): PluginReading<PolicyPlugin> | undefined {
  const { type, fallback: _fallback, timeout_ms: _timeout, overrun_ms: _overrun, ...parameters } = policy;
  return plugins.policy(type, parameters);
}
