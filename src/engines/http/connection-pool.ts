import { buildConnector, Client, Pool, type Dispatcher } from 'undici';
import type { WorkerTls } from '../../config/settings/settings.ts';
import { InterimHeads } from './interim-heads.ts';
import { tlsOptions } from './worker-tls.ts';

/** undici's handler plus the connection it was given to: how a dead kept-alive connection is told from a fresh one. */
export interface ConnectionAwareHandler extends Dispatcher.DispatchHandler {
  connection?: TrackedClient;
}

type TrackedOptions = Client.Options & { readonly connect: buildConnector.connector };

/** One connection (pipelining is off) that knows how many requests its present socket has carried. */
export class TrackedClient extends Client {
  carried = 0;
  readonly interim: InterimHeads;

  constructor(origin: URL, options: TrackedOptions) {
    const { connect, maxHeaderSize = 0 } = options;
    const interim = new InterimHeads(maxHeaderSize);
    super(origin, {
      ...options,
      connect: (target, callback) => {
        connect(target, (...result) => {
          if (result[1]) interim.watch(result[1]);
          callback(...result);
        });
      },
    });
    this.interim = interim;
    this.on('connect', () => {
      this.carried = 0;
    });
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

/** uvicorn closes idle connections after 5 s; a longer idle life here would race with it. */
const IDLE_SOCKET_MS = 4_000;

function options(socketPath: string | undefined, settings: PoolSettings): TrackedOptions {
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
    connect: buildConnector({
      timeout: settings.connectMs,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      allowH2: false,
      ...(socketPath === undefined ? {} : { socketPath }),
      ...(settings.tls && tlsOptions(settings.tls)),
    }),
  };
}

/** Connections to one worker, opened as needed: as many as it has requests running. */
export function openPool(origin: string, socketPath: string | undefined, settings: PoolSettings): Pool {
  return new Pool(origin, {
    ...options(socketPath, settings),
    connections: null,
    factory: (url: URL, clientOptions: TrackedOptions) => new TrackedClient(url, clientOptions),
  });
}

/** A single connection of its own, for a request that must not meet a kept-alive one. */
export function openFresh(
  origin: string,
  socketPath: string | undefined,
  settings: PoolSettings,
): TrackedClient {
  return new TrackedClient(new URL(origin), options(socketPath, settings));
}
