import type { Socket } from 'node:net';
import { buildConnector, Client, Pool, type Dispatcher } from 'undici';
import type { WorkerTls } from '../../config/settings/settings.ts';
import { InterimHeads } from './interim-heads.ts';
import type { IdleConnection, OutboundSockets } from './outbound-sockets.ts';
import { tlsOptions } from './worker-tls.ts';

/** undici's handler plus the connection it was given to: how a dead kept-alive connection is told from a fresh one. */
export interface ConnectionAwareHandler extends Dispatcher.DispatchHandler {
  connection?: TrackedClient;
}

/** One connection (pipelining is off) that knows how many requests its present socket has carried. */
export class TrackedClient extends Client implements IdleConnection {
  carried = 0;
  readonly interim: InterimHeads;
  readonly #opening: Opening;
  readonly #present: { socket: Socket | null };

  constructor(origin: URL, options: Client.Options, opening: Opening) {
    const { sockets, opener, reserved } = opening;
    const interim = new InterimHeads(options.maxHeaderSize ?? 0);
    const present: { socket: Socket | null } = { socket: null };
    const connect: buildConnector.connector = (to, done) => {
      sockets.connect(opener, reserved, to, (...result) => {
        present.socket = result[1];
        if (result[1]) interim.watch(result[1]);
        done(...result);
      });
    };
    super(origin, { ...options, connect });
    this.interim = interim;
    this.#opening = opening;
    this.#present = present;
    this.on('connect', () => {
      this.carried = 0;
    });
    this.on('disconnect', () => {
      sockets.notIdle(this);
    });
  }

  /** A request begins or ends on the connection. */
  carries(request: boolean): void {
    const { sockets, reserved } = this.#opening;
    if (request) sockets.notIdle(this);
    else if (!reserved && this.#present.socket?.destroyed === false) sockets.idle(this);
  }

  drop(): boolean {
    const { running, pending } = this.stats;
    if (running > 0 || pending > 0) return false;
    this.#present.socket?.destroy();
    return true;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: ConnectionAwareHandler): boolean {
    handler.connection = this;
    return super.dispatch(options, handler);
  }
}

export interface PoolSettings {
  readonly connectMs: number;
  readonly maxHeaderSize: number;
  /** Undefined: as Node does it, with the authorities of the system. */
  readonly tls?: WorkerTls | undefined;
}

/** How connections to one address are opened. */
export interface Opening {
  readonly sockets: OutboundSockets;
  readonly opener: buildConnector.connector;
  /** Beyond the limit. */
  readonly reserved: boolean;
}

/** uvicorn closes idle connections after 5 s; a longer idle life here would race with it. */
const IDLE_SOCKET_MS = 4_000;

/** One for all connections to an address: they share their TLS sessions. */
export function openerFor(socketPath: string | undefined, settings: PoolSettings): buildConnector.connector {
  return buildConnector({
    allowH2: false,
    timeout: settings.connectMs,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    ...(socketPath === undefined ? {} : { socketPath }),
    ...(settings.tls && tlsOptions(settings.tls)),
  });
}

function options(settings: PoolSettings): Client.Options {
  return {
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: IDLE_SOCKET_MS,
    keepAliveMaxTimeout: 600_000,
    keepAliveTimeoutThreshold: 1_000,
    // Phase timeouts are the router's own: undici's may fire up to a second late.
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: settings.maxHeaderSize,
  };
}

/** Connections to one worker, opened as needed: as many as it has requests running. */
export function openPool(origin: string, settings: PoolSettings, opening: Opening): Pool {
  return new Pool(origin, {
    ...options(settings),
    connections: null,
    // Each client goes through the same one; without it the pool would make another.
    connect: opening.opener,
    factory: (url: URL, clientOptions: Client.Options) => new TrackedClient(url, clientOptions, opening),
  });
}

/** A single connection of its own, for a request that must not meet a kept-alive one. */
export function openFresh(origin: string, settings: PoolSettings, opening: Opening): TrackedClient {
  return new TrackedClient(new URL(origin), options(settings), opening);
}
