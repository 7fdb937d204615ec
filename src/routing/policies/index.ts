import type { OverrunCells } from '../../base/overruns.ts';
import type { BuiltInPolicySettings, PolicySettings } from '../../config/settings/settings.ts';
import type { OnPluginTrouble, Policy, PolicyDeps } from '../policy.ts';

export type { OnPluginTrouble };
import { CacheAwarePolicy } from './cache-aware.ts';
import { ConsistentHashPolicy } from './consistent-hash.ts';
import { GuardedPolicy } from './guarded.ts';
import { KvAwarePolicy } from './kv-aware.ts';
import { LeastWorkPolicy } from './least-work.ts';
import { LmcacheAwarePolicy } from './lmcache-aware.ts';
import { PowerOfTwoPolicy } from './power-of-two.ts';
import { RandomPolicy } from './random.ts';
import { RendezvousHashPolicy } from './rendezvous-hash.ts';
import { RoundRobinPolicy } from './round-robin.ts';

export type PolicyName = BuiltInPolicySettings['type'];

type PolicyTable = {
  readonly [Name in PolicyName]: {
    create(settings: BuiltInPolicySettings & { readonly type: Name }, deps: PolicyDeps): Policy;
  };
};

/** Every policy there is. A new one is a file beside this and a row here. */
export const POLICIES: PolicyTable = {
  random: { create: (_settings, deps) => new RandomPolicy(deps) },
  round_robin: { create: (_settings, deps) => new RoundRobinPolicy(deps) },
  power_of_two: { create: (_settings, deps) => new PowerOfTwoPolicy(deps) },
  consistent_hash: { create: (settings, deps) => new ConsistentHashPolicy(settings, deps) },
  rendezvous_hash: { create: (settings, deps) => new RendezvousHashPolicy(settings, deps) },
  cache_aware: { create: (settings, deps) => new CacheAwarePolicy(settings, deps) },
  least_work: { create: (settings, deps) => new LeastWorkPolicy(settings, deps) },
  kv_aware: { create: (settings, deps) => new KvAwarePolicy(settings, deps) },
  lmcache_aware: {
    create: (settings, deps) => {
      const { loads, lmcache, share } = deps;
      const fallback = create(settings.fallback.type, settings.fallback, deps);
      return new LmcacheAwarePolicy(settings, { loads, lmcache, share, fallback });
    },
  },
};

/** Whatever chooses: a built-in policy, or a plugin's with a guard around it. */
export function createPolicy(
  settings: PolicySettings,
  deps: PolicyDeps,
  report: OnPluginTrouble = () => undefined,
  overruns?: OverrunCells,
): Policy {
  if (settings.type !== 'plugin') return create(settings.type, settings, deps);
  const fallback = create(settings.fallback.type, settings.fallback, deps);
  return new GuardedPolicy(settings, { fallback, deps, report, overruns });
}

function create<Name extends PolicyName>(
  name: Name,
  settings: BuiltInPolicySettings & { readonly type: Name },
  deps: PolicyDeps,
): Policy {
  return POLICIES[name].create(settings, deps);
}
