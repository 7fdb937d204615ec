import type { ControllerApi, LmcacheInstance } from './controller.ts';
import type { Worker } from '../../workers/worker.ts';

/** What of a worker says which instance is its own. */
export type Mappable = Pick<Worker, 'id' | 'spec' | 'traits'>;

/** Labels of a worker that name the instance it stores its cache in. A pod's name is the instance's where nothing else is said. */
export const INSTANCE_LABELS = ['lmcache_instance_id', 'pod_name'] as const;

/** Why an instance is nobody's: no worker fits, or more than one does and no more than that is known. */
export type Unmapped = 'unmapped' | 'ambiguous';

export interface InstanceMapInput<W extends Mappable> {
  readonly instances: readonly LmcacheInstance[];
  readonly workers: readonly W[];
  /** URL of a worker by instance, as configured: with `@rank` for one rank, else all ranks of the server. */
  readonly configured: ReadonlyMap<string, string>;
  /** A coordinator's instances are the caches of whole hosts. */
  readonly api: ControllerApi | undefined;
}

/**
 * Which workers an LMCache instance belongs to: those that the configuration names, else those that name it in a label, else those on
 * its host, where that leaves no choice.
 */
export class InstanceMap<W extends Mappable = Worker> {
  readonly #named: ReadonlyMap<string, readonly W[]>;
  readonly #byHost: ReadonlyMap<string, readonly W[]>;
  readonly #unmapped: ReadonlyMap<string, Unmapped>;
  /** Whether any instance, listed or not, is some worker's. */
  readonly isOfUse: boolean;

  constructor({ instances, workers, configured, api }: InstanceMapInput<W>) {
    this.#named = namedInstances(workers, configured);
    const hosts = workersByHost(workers);
    const rest = instances
      .filter(({ id }) => !this.#named.has(id))
      .map(({ id, hosts: own }) => ({ id, there: [...new Set(own.map(plainHost))] }));
    const tenants = countTenants(rest);
    const byHost = new Map<string, readonly W[]>();
    const unmapped = new Map<string, Unmapped>();
    for (const { id, there } of rest) {
      const found = there.flatMap((host) => hosts.get(host) ?? []);
      const isShared = there.some((host) => (tenants.get(host) ?? 0) > 1);
      const servers = new Set(found.map(({ spec }) => spec.baseUrl));
      if (found.length === 0) unmapped.set(id, 'unmapped');
      else if (isShared || (api !== 'coordinator' && servers.size > 1)) unmapped.set(id, 'ambiguous');
      else byHost.set(id, found);
    }
    for (const { id } of instances) if (this.#named.get(id)?.length === 0) unmapped.set(id, 'unmapped');
    this.#byHost = byHost;
    this.#unmapped = unmapped;
    this.isOfUse = byHost.size > 0 || [...this.#named.values()].some((named) => named.length > 0);
  }

  workersOf(instance: string): readonly W[] {
    return this.#named.get(instance) ?? this.#byHost.get(instance) ?? [];
  }

  /** Whether it was in the list, or is named by the configuration or a worker. */
  knows(instance: string): boolean {
    return this.#named.has(instance) || this.#byHost.has(instance) || this.#unmapped.has(instance);
  }

  /** The listed instances that are nobody's. */
  get unmapped(): ReadonlyMap<string, Unmapped> {
    return this.#unmapped;
  }
}

/** How many instances are on each host. */
function countTenants(
  instances: readonly { readonly there: readonly string[] }[],
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const host of instances.flatMap(({ there }) => there)) counts.set(host, 1 + (counts.get(host) ?? 0));
  return counts;
}

function namedInstances<W extends Mappable>(
  workers: readonly W[],
  configured: ReadonlyMap<string, string>,
): ReadonlyMap<string, readonly W[]> {
  const named = new Map<string, W[]>();
  for (const worker of workers) {
    for (const label of INSTANCE_LABELS) {
      const instance = worker.traits.labels[label];
      if (instance === undefined) continue;
      named.set(instance, [...(named.get(instance) ?? []), worker]);
      break;
    }
  }
  for (const [instance, url] of configured)
    named.set(
      instance,
      workers.filter(({ id, spec }) => id === url || spec.baseUrl === url),
    );
  return named;
}

function workersByHost<W extends Mappable>(workers: readonly W[]): ReadonlyMap<string, readonly W[]> {
  const withHost = workers.flatMap((worker) => {
    const host = URL.parse(worker.spec.baseUrl)?.hostname ?? '';
    return host === '' ? [] : [{ worker, host: plainHost(host) }];
  });
  const groups = Map.groupBy(withHost, ({ host }) => host);
  return new Map([...groups].map(([host, group]) => [host, group.map(({ worker }) => worker)]));
}

/** As it is written without a URL around it. */
function plainHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
}
