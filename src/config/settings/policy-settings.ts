import { ms } from './ms.ts';
import {
  isPluginPolicy,
  NO_PLUGINS,
  readPluginPolicy,
  type AnyPolicyConfig,
  type KnownPlugins,
  type PluginPolicyConfig,
} from '../schema/plugin-policy-schema.ts';
import type { PolicyConfig } from '../schema/policy-schema.ts';
import type { BuiltInPolicySettings, PluginPolicySettings, PolicySettings } from './settings.ts';

/** Compiles one policy. What a plugin says of its parameters has been asked before. */
export function policySettings(
  policy: AnyPolicyConfig,
  loadCheckIntervalSecs: number,
  plugins: KnownPlugins = NO_PLUGINS,
): PolicySettings {
  if (isPluginPolicy(policy)) return pluginSettings(policy, loadCheckIntervalSecs, plugins);
  return builtInSettings(policy, loadCheckIntervalSecs);
}

function pluginSettings(
  policy: PluginPolicyConfig,
  loadCheckIntervalSecs: number,
  plugins: KnownPlugins,
): PluginPolicySettings {
  const reading = readPluginPolicy(policy, plugins);
  if (reading?.kind !== 'ok')
    throw new Error(`the policy ${policy.type}: ${reading?.message ?? 'is unknown'}`);
  return {
    type: 'plugin',
    name: policy.type,
    plugin: reading.plugin,
    parameters: reading.parameters,
    fallback: builtInSettings(policy.fallback, loadCheckIntervalSecs),
    timeoutMs: policy.timeout_ms,
    overrunMs: policy.overrun_ms,
  };
}

function builtInSettings(policy: PolicyConfig, loadCheckIntervalSecs: number): BuiltInPolicySettings {
  switch (policy.type) {
    case 'random':
    case 'round_robin':
      return { type: policy.type };
    case 'power_of_two':
      return { type: policy.type, loadCheckIntervalMs: ms(loadCheckIntervalSecs) };
    case 'consistent_hash':
      return {
        type: policy.type,
        virtualNodes: policy.virtual_nodes,
        loadBound: policy.load_bound,
        stickyTtlMs: ms(policy.sticky_ttl_secs),
      };
    case 'rendezvous_hash':
      // It has neither ring nor pins.
      return { type: policy.type, virtualNodes: 1, loadBound: policy.load_bound, stickyTtlMs: 0 };
    case 'cache_aware':
      return {
        type: policy.type,
        cacheThreshold: policy.cache_threshold,
        balanceAbsThreshold: policy.balance_abs_threshold,
        balanceRelThreshold: policy.balance_rel_threshold,
      };
    case 'least_work':
      return { type: policy.type, theta: policy.theta };
  }
}
