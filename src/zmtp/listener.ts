import { createServer, type Server, type Socket } from 'node:net';
import { ByteBudget } from '../base/byte-budget.ts';
import { KEEP_ALIVE } from './dial.ts';
import type { Endpoint } from './endpoint.ts';
import { Peer, type PeerEvents, type PeerOptions } from './peer.ts';
import type { SocketType } from './session.ts';

export interface ListenerOptions extends PeerOptions {
  /** Connections beyond it are closed at once. */
  readonly maxPeers?: number;
}

export interface ListenerEvents extends Omit<PeerEvents, 'onSubscription'> {
  onSubscription?(topic: Buffer, wanted: boolean, peer: Peer): void;
  /** A connection beyond `maxPeers`. */
  onRefused?(): void;
}

const MAX_PEERS = 4096;
/** Of messages that have not come whole, of all peers together: there may be many, and anybody. */
const MAX_READ_BYTES = 256 * 1024 * 1024;

/** Takes connections at an endpoint. */
export class Listener {
  /** Where it listens, with the port that it was given. */
  readonly endpoint: Endpoint;
  readonly #server: Server;
  readonly #peers: ReadonlySet<Peer>;

  private constructor(endpoint: Endpoint, server: Server, peers: ReadonlySet<Peer>) {
    this.endpoint = endpoint;
    this.#server = server;
    this.#peers = peers;
  }

  /** Rejects with the system's error where nobody can listen there. */
  static async open(
    endpoint: Endpoint,
    type: SocketType,
    options: ListenerOptions,
    events: ListenerEvents,
  ): Promise<Listener> {
    const peers = new Set<Peer>();
    const bounded = { readBytes: new ByteBudget(MAX_READ_BYTES), ...options };
    const server = createServer(KEEP_ALIVE, (socket) => takeIn(socket, type, bounded, events, peers));
    await new Promise<void>((resolve, reject) => {
      const where =
        endpoint.kind === 'ipc' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port };
      server.once('error', reject).listen(where, () => {
        server.off('error', reject);
        resolve();
      });
    });
    // A connection that could not be taken, for want of descriptors, is tried again by its peer.
    server.on('error', () => events.onRefused?.());
    return new Listener(boundTo(endpoint, server), server, peers);
  }

  /** Those that are there, ready or not. */
  get peers(): ReadonlySet<Peer> {
    return this.#peers;
  }

  /** Resolves when the endpoint is free again. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const peer of this.#peers) peer.close();
    await closed;
  }
}

function takeIn(
  socket: Socket,
  type: SocketType,
  options: ListenerOptions,
  events: ListenerEvents,
  peers: Set<Peer>,
): void {
  if (peers.size >= (options.maxPeers ?? MAX_PEERS)) {
    socket.destroy();
    events.onRefused?.();
    return;
  }
  const peer: Peer = new Peer(socket, type, options, {
    onReady: (ready) => events.onReady(ready),
    onMessage: (frames, from) => events.onMessage(frames, from),
    onSubscription: (topic, wanted) => events.onSubscription?.(topic, wanted, peer),
    onEnd: (end, ended) => events.onEnd(end, ended),
  });
  peers.add(peer);
  // Also when it was closed from here, of which `onEnd` does not tell.
  socket.once('close', () => peers.delete(peer));
}

function boundTo(endpoint: Endpoint, server: Server): Endpoint {
  const address = server.address();
  if (endpoint.kind === 'ipc' || address === null || typeof address === 'string') return endpoint;
  return { ...endpoint, port: address.port };
}
