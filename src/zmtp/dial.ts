import { connect } from 'node:net';
import type { Endpoint } from './endpoint.ts';
import { Peer, type PeerEvents, type PeerOptions } from './peer.ts';
import type { SocketType } from './session.ts';

export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 30_000 } as const;

/** Begins one connection; whether it came about, the events tell. */
export function dial(endpoint: Endpoint, type: SocketType, options: PeerOptions, events: PeerEvents): Peer {
  const socket =
    endpoint.kind === 'ipc'
      ? connect({ path: endpoint.path })
      : connect({ host: endpoint.host ?? 'localhost', port: endpoint.port, ...KEEP_ALIVE });
  return new Peer(socket, type, options, events);
}
