import { covers } from '../../config/schema/url-prefixes.ts';
import type { ClusterSettings } from '../../config/settings/settings.ts';
import { EXCLUDED, type Exclusion } from '../../routing/policy.ts';
import type { PoolView } from '../../workers/pool-view.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/**
 * The pool without those members that do not belong to the request's cluster. Undefined where it has none, or none of its workers can
 * take the request now: then it goes where any request goes.
 */
export function clusterPool(rt: Runtime, { ask }: Call, pool: PoolView): PoolView | undefined {
  const { cluster } = ask;
  if (cluster === undefined || pool.eligible === 0) return undefined;
  const { clusters, within } = rt.settings.semantic.clusters ?? NONE;
  const settings = clusters.find(({ name }) => name === cluster.name);
  if (!settings) return undefined;
  const belongs = membersOf(settings, pool, rt.registry.version);
  const mask = Uint8Array.from(pool.mask);
  let eligible = 0;
  for (let index = 0; index < mask.length; index++) {
    if (mask[index] !== EXCLUDED.no) continue;
    if (belongs[index] === 1) eligible += 1;
    else mask[index] = EXCLUDED.cluster satisfies Exclusion;
  }
  if (eligible === 0) return undefined;
  // Who takes turns goes by the key, and each cluster has a turn of its own; what is built on members goes by it, too, and is the pool's.
  const key = within === 'round_robin' ? `${pool.key}\0${cluster.name}` : pool.key;
  return new ClusterView(pool, { key, mask, eligible });
}

/** Whether it is one that `clusterPool` has made. */
export function isClusterPool(pool: PoolView): boolean {
  return pool instanceof ClusterView;
}

const NONE = { clusters: [], within: 'policy' } as const;

/** Whether it stands below a URL of the cluster, is one of its ranks, or has all of its labels. */
export function belongsTo({ prefixes, ids, labels }: ClusterSettings, { id, spec, traits }: Worker): boolean {
  if (ids.includes(id) || prefixes.some((prefix) => covers(prefix, spec.baseUrl))) return true;
  const wanted = Object.entries(labels);
  return wanted.length > 0 && wanted.every(([name, value]) => traits.labels[name] === value);
}

interface Known {
  readonly members: readonly Worker[];
  /** Of the registry: labels may have changed since. */
  readonly version: number;
  readonly bits: Uint8Array;
}

/** Of each cluster the pools it was looked for in last. */
const known = new WeakMap<ClusterSettings, Map<string, Known>>();
const MOST_POOLS = 64;

function membersOf(cluster: ClusterSettings, { key, members }: PoolView, version: number): Uint8Array {
  const pools = known.get(cluster) ?? new Map<string, Known>();
  known.set(cluster, pools);
  const found = pools.get(key);
  if (found?.members === members && found.version === version) return found.bits;
  const bits = Uint8Array.from(members, (worker) => (belongsTo(cluster, worker) ? 1 : 0));
  if (pools.size >= MOST_POOLS && !found) pools.clear();
  pools.set(key, { members, version, bits });
  return bits;
}

class ClusterView implements PoolView {
  readonly key: string;
  readonly generation: number;
  readonly members: readonly Worker[];
  readonly mask: Uint8Array;
  readonly eligible: number;
  readonly failedOpen: boolean;
  readonly isRetry: boolean;
  readonly ramps: boolean;
  readonly #pool: PoolView;

  constructor(pool: PoolView, { key, mask, eligible }: Pick<PoolView, 'key' | 'mask' | 'eligible'>) {
    this.key = key;
    this.generation = pool.generation;
    this.members = pool.members;
    this.mask = mask;
    this.eligible = eligible;
    this.failedOpen = pool.failedOpen;
    this.isRetry = pool.isRetry;
    this.ramps = pool.ramps ?? true;
    this.#pool = pool;
  }

  ramp(index: number): number {
    return this.#pool.ramp(index);
  }
}
