import { networkInterfaces } from 'node:os';
import type { Registrar } from '../admin/registrar.ts';
import { parseWorkerUrl } from '../config/schema/worker-url.ts';
import { DEFAULT_TRAITS, type Settings } from '../config/settings/settings.ts';
import { PEER_STATES, type PeerRegistrar } from '../discovery/zmq/peer-workers.ts';
import { ZmqDiscovery, type PeerView } from '../discovery/zmq/zmq-discovery.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { isOpen } from '../workers/jobs.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { SharedState } from './shared-state.ts';
import { listenAt } from './start-error.ts';

/** Workers that register themselves, if they may. */
export interface OpenDiscovery {
  /** Rejects with a `StartError` where nobody can listen at the address. */
  listen(): Promise<void>;
  /** @param ownPorts Where the router listens. */
  begin(ownPorts: readonly number[]): void;
  of(worker: Worker): PeerView | undefined;
  reconfigure(settings: Settings): void;
  close(): Promise<void>;
}

/** The registry is control's: so are those who register themselves in it. */
export function openDiscovery(
  { settings, registry, metrics, clock, log }: SharedState<WorkerRegistry>,
  registrar: Registrar,
): OpenDiscovery {
  const { discovery: wanted } = settings.pd;
  if (!wanted) return NOWHERE;
  const discovery = new ZmqDiscovery(wanted, {
    ...{ clock, log, registry },
    registrar: asPeerRegistrar(registrar, log),
    interfaces: () => Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []),
    ...counting(metrics),
  });
  metrics.discoveryPeers.onCollect((family) => {
    const { counts } = discovery;
    for (const state of PEER_STATES) family.with(state).set(counts[state]);
  });
  return {
    listen: () =>
      listenAt(wanted.address, '--vllm-discovery-address', (endpoint) => discovery.listen(endpoint)),
    begin: (ownPorts) => {
      discovery.begin(ownPorts);
    },
    of: (worker) => discovery.of(worker),
    reconfigure: ({ pd }) => {
      if (pd.discovery) discovery.reconfigure(pd.discovery);
    },
    close: () => discovery.close(),
  };
}

const NOWHERE: OpenDiscovery = {
  listen: () => Promise.resolve(),
  begin: () => undefined,
  of: () => undefined,
  reconfigure: () => undefined,
  close: () => Promise.resolve(),
};

function counting(
  metrics: Metrics,
): Pick<ConstructorParameters<typeof ZmqDiscovery>[1], 'onRefused' | 'onChange'> {
  return {
    onRefused: (refusal) => {
      metrics.discoveryRefusedTotal.with(refusal).inc();
    },
    onChange: (change) => {
      metrics.discoveryUpdatesTotal.with().inc();
      (change === 'added' ? metrics.discoveryWorkersAdded : metrics.discoveryWorkersRemoved).with().inc();
    },
  };
}

/** They are registered as by the worker API, with nothing but what they say. */
function asPeerRegistrar(registrar: Registrar, log: Log): PeerRegistrar {
  return {
    add({ url, role, kvTransfer }) {
      const parsed = parseWorkerUrl(url);
      if (parsed.kind === 'bad') return false;
      const registration = {
        ...DEFAULT_TRAITS,
        ...{ address: parsed.address, role, kvTransfer, apiKey: undefined },
      };
      const { kind } = registrar.add(registration, { by: 'zmq' });
      if (kind === 'full')
        log.warn({ worker: url }, 'a worker that registers itself has to wait: too many jobs are open');
      return kind !== 'full' && kind !== 'conflict';
    },
    remove: (url) => void registrar.remove(url, undefined),
    isJoining: (url) => {
      const job = registrar.jobs.of(url);
      return job?.kind === 'add' && isOpen(job);
    },
    isOwn: (worker) => registrar.joinedBy(worker) === 'zmq',
    workersOf: (url) => registrar.workersOf(url),
  };
}
