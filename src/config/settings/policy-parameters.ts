import type { PolicyPlugin } from '../../plugins/plugin.ts';
import type { CacheKnowledge, KvAwareSettings } from './cache-knowledge.ts';

/** A policy of the router's own with its parameters. */
export type BuiltInPolicySettings =
  | { readonly type: 'random' | 'round_robin' }
  | { readonly type: 'power_of_two'; readonly loadCheckIntervalMs: number }
  | {
      readonly type: 'consistent_hash' | 'rendezvous_hash';
      readonly virtualNodes: number;
      readonly loadBound: number | undefined;
      readonly stickyTtlMs: number;
    }
  | {
      readonly type: 'cache_aware';
      readonly cacheKnowledge?: CacheKnowledge;
      readonly cacheThreshold: number;
      readonly balanceAbsThreshold: number;
      readonly balanceRelThreshold: number;
    }
  | { readonly type: 'least_work'; readonly cacheKnowledge?: CacheKnowledge; readonly theta: number }
  | ({ readonly type: 'kv_aware' } & KvAwareSettings)
  | {
      readonly type: 'lmcache_aware';
      readonly lookupMode: 'occupancy' | 'prefix_lookup';
      /** 0 to 1. */
      readonly cacheWeight: number;
      readonly loadBounded: boolean;
      /** Chooses where the controller says nothing. */
      readonly fallback: BuiltInPolicySettings;
    };

/** A policy that a plugin brings. */
export interface PluginPolicySettings {
  readonly type: 'plugin';
  /** As it is registered: the `type` in the file. */
  readonly name: string;
  readonly plugin: PolicyPlugin;
  /** As the plugin's own check left them. */
  readonly parameters: unknown;
  readonly cacheKnowledge?: CacheKnowledge;
  /** Chooses where the plugin does not. */
  readonly fallback: BuiltInPolicySettings;
  /** For its asynchronous part, per request. */
  readonly timeoutMs: number;
  /** For everything of it that runs at once. */
  readonly overrunMs: number;
}

export type PolicySettings = BuiltInPolicySettings | PluginPolicySettings;

/** The name that a policy goes by in the file, in records and in metrics. */
export function policyName(policy: PolicySettings): string {
  return policy.type === 'plugin' ? policy.name : policy.type;
}
