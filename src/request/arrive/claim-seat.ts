import { RouterError } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Arrival } from './arrival.ts';

/**
 * Refuses what would need a worker on a connection that came when there was room only for those who look after the
 * router. Throws `out_of_sockets`; the connection ends, to make room, unless more was asked on it already.
 */
export function claimSeat(rt: Runtime, { req, res, endpoint, tunnel }: Arrival): void {
  if (endpoint.class === 'local' || rt.seats.claim(req.socket)) return;
  rt.onShortage('client');
  throw new RouterError(
    'out_of_sockets',
    'the router has as many connections as it may have files open; try again',
    // A refused handshake ends its connection anyway.
    tunnel === undefined && res.mayEnd() ? { headers: ['connection', 'close'] } : {},
  );
}
