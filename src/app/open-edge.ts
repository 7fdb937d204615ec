import { EdgeServer, type OnRequest } from '../http/server.ts';
import type { EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';
import { serveRequest } from '../request/route-request.ts';
import type { Runtime } from '../request/runtime.ts';
import { edgeEvents } from './edge-events.ts';
import type { SharedState } from './shared-state.ts';

/** Takes admin and worker routes; false where the request is not for them. */
export type AdminDoor = (req: EdgeRequest, res: EdgeResponse) => boolean;

/** The listener of this thread. `runtime` is asked for each request: a reload replaces it. */
export function openEdge(
  { settings, metrics, log, seats, ticketKeys, descriptors, onShortage }: SharedState,
  runtime: () => Runtime,
  admin: AdminDoor,
): EdgeServer {
  const serve: OnRequest = (req, res, tunnel) => {
    // What expects the unknown is refused by one path, whatever it asks for.
    if (tunnel === undefined && !req.expectsUnknown && admin(req, res)) return Promise.resolve();
    return serveRequest(runtime(), req, res, tunnel);
  };
  return new EdgeServer(settings.listen, serve, edgeEvents(metrics, log, onShortage), {
    ...{ seats, ticketKeys },
    standing: descriptors.standing,
  });
}
