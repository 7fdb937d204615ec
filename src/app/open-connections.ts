import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { proxyOf } from '../config/settings/proxy-for.ts';
import type { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import { WorkerConnections, type ConnectionSettings } from '../engines/http/worker-connections.ts';
import { WorkerVersions } from '../engines/http/worker-versions.ts';

export function openConnections(
  settings: ConnectionSettings,
  { part, ...deps }: { readonly part: ThreadPart; readonly clock: Clock; readonly sockets: OutboundSockets },
): WorkerConnections {
  return new WorkerConnections({
    ...{ ...settings, ...deps, versions: new WorkerVersions(part) },
    proxyFor: (baseUrl) => proxyOf(baseUrl, process.env),
  });
}
