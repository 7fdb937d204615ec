import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { proxyOf } from '../config/settings/proxy-for.ts';
import type { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import { WorkerConnections, type ConnectionSettings } from '../engines/http/worker-connections.ts';
import { WorkerVersions } from '../engines/http/worker-versions.ts';
import type { SharedState } from './shared-state.ts';

/** The connections to a server end with the last worker there. */
export function dropClientsOfLeft({
  registry,
  connections,
}: Pick<SharedState, 'registry' | 'connections'>): void {
  registry.on(({ type, worker: { spec } }) => {
    if (type !== 'left') return;
    if (!registry.workers.some((worker) => worker.spec.baseUrl === spec.baseUrl)) connections.drop(spec);
  });
}

export function openConnections(
  settings: ConnectionSettings,
  { part, ...deps }: { readonly part: ThreadPart; readonly clock: Clock; readonly sockets: OutboundSockets },
): WorkerConnections {
  return new WorkerConnections({
    ...{ ...settings, ...deps, versions: new WorkerVersions(part) },
    proxyFor: (baseUrl) => proxyOf(baseUrl, process.env),
  });
}
