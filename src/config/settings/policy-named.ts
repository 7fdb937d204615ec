import { livePolicy } from '../schema/live-policy-schema.ts';
import { NO_PLUGINS, pluginPolicyProblems, type KnownPlugins } from '../schema/plugin-policy-schema.ts';
import { policySettings } from './policy-settings.ts';
import type { PolicyDefaults } from './cache-knowledge.ts';
import type { PolicySettings } from './settings.ts';

/** The policy of that name with its defaults; undefined where there is none, or where it needs parameters. */
export function policyNamed(
  name: string,
  defaults: PolicyDefaults,
  plugins: KnownPlugins = NO_PLUGINS,
): PolicySettings | undefined {
  const parsed = livePolicy.safeParse(name);
  if (!parsed.success || pluginPolicyProblems(parsed.data, plugins).length > 0) return undefined;
  return policySettings(parsed.data, defaults, plugins);
}
