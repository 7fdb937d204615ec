import type { PolicySettings } from '../../config/settings.ts';
import type { Policy, PolicyDeps } from '../policy.ts';
import { CacheAwarePolicy } from './cache-aware.ts';
import { ConsistentHashPolicy } from './consistent-hash.ts';
import { LeastWorkPolicy } from './least-work.ts';
import { PowerOfTwoPolicy } from './power-of-two.ts';
import { RandomPolicy } from './random.ts';
import { RendezvousHashPolicy } from './rendezvous-hash.ts';
import { RoundRobinPolicy } from './round-robin.ts';

export type PolicyName = PolicySettings['type'];

type PolicyTable = {
  readonly [Name in PolicyName]: {
    create(settings: PolicySettings & { readonly type: Name }, deps: PolicyDeps): Policy;
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
};

export function createPolicy(settings: PolicySettings, deps: PolicyDeps): Policy {
  return create(settings.type, settings, deps);
}

function create<Name extends PolicyName>(
  name: Name,
  settings: PolicySettings & { readonly type: Name },
  deps: PolicyDeps,
): Policy {
  return POLICIES[name].create(settings, deps);
}
