import {
  isPluginPolicy,
  NO_PLUGINS,
  readPluginPolicy,
  type AnyPolicyConfig,
  type KnownPlugins,
  type PluginPolicyConfig,
} from '../schema/plugin-policy-schema.ts';
import type { PolicyDefaults } from './cache-knowledge.ts';
import { policySchema, type PolicyConfig } from '../schema/policy-schema.ts';
import type { Config } from '../schema/schema.ts';
import type { BuiltInPolicySettings, PluginPolicySettings, PolicySettings } from './settings.ts';
import { ms } from './ms.ts';

/** Compiles one policy. What a plugin says of its parameters has been asked before. */
export function policySettings(
  policy: AnyPolicyConfig,
  defaults: PolicyDefaults,
  plugins: KnownPlugins = NO_PLUGINS,
): PolicySettings {
  if (isPluginPolicy(policy)) return pluginSettings(policy, defaults, plugins);
  return builtInSettings(policy, defaults);
}

/** What policies of this configuration have where they say nothing else. */
export function policyDefaults(
  config: Pick<Config, 'load_check_interval_secs' | 'cache_knowledge'>,
): PolicyDefaults {
  return {
    loadCheckIntervalMs: ms(config.load_check_interval_secs),
    cacheKnowledge: config.cache_knowledge,
  };
}

function pluginSettings(
  policy: PluginPolicyConfig,
  defaults: PolicyDefaults,
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
    cacheKnowledge: defaults.cacheKnowledge,
    fallback: builtInSettings(policy.fallback, defaults),
    timeoutMs: policy.timeout_ms,
    overrunMs: policy.overrun_ms,
  };
}

function builtInSettings(policy: PolicyConfig, defaults: PolicyDefaults): BuiltInPolicySettings {
  switch (policy.type) {
    case 'random':
    case 'round_robin':
      return { type: policy.type };
    case 'power_of_two':
      return { type: policy.type, loadCheckIntervalMs: defaults.loadCheckIntervalMs };
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
        cacheKnowledge: policy.cache_knowledge ?? defaults.cacheKnowledge,
        cacheThreshold: policy.cache_threshold,
        balanceAbsThreshold: policy.balance_abs_threshold,
        balanceRelThreshold: policy.balance_rel_threshold,
      };
    case 'least_work':
      return {
        type: policy.type,
        cacheKnowledge: policy.cache_knowledge ?? defaults.cacheKnowledge,
        theta: policy.theta,
      };
    case 'kv_aware':
      return {
        type: policy.type,
        cacheKnowledge: policy.cache_knowledge ?? defaults.cacheKnowledge,
        blockSize: policy.block_size,
        weights: policy.medium_weights,
        speculativeMs: policy.enable_speculative ? policy.speculative_ttl_ms : 0,
        loadBounded: policy.load_bounded,
      };
    case 'lmcache_aware':
      return {
        type: policy.type,
        lookupMode: policy.lookup_mode,
        cacheWeight: policy.cache_weight,
        loadBounded: policy.load_bounded,
        fallback: builtInSettings(policySchema.parse({ type: policy.fallback_policy }), defaults),
      };
  }
}
