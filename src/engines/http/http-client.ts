import type { Clock } from '../../base/clock.ts';
import type { WorkerSpec } from '../../config/settings/settings.ts';
import type { Exchange, ResponseSink, WorkerClient, WorkerRequest } from '../client.ts';
import { ConnectionPool, type PoolSettings } from './connection-pool.ts';
import { HttpExchange, type ExchangeSettings } from './http-exchange.ts';
import { OutboundSockets } from './outbound-sockets.ts';
import type { Peer } from './transport-failure.ts';
import { parseBaseUrl } from './worker-address.ts';

export interface ClientOptions {
  readonly clock: Clock;
  readonly sockets?: OutboundSockets;
  /** How failures call who is asked. */
  readonly peer?: Peer;
}

/** HTTP/1.1 over TCP, TLS or a Unix socket. */
export class HttpWorkerClient implements WorkerClient {
  readonly #pool: ConnectionPool;
  readonly #settings: ExchangeSettings;

  constructor(
    spec: Pick<WorkerSpec, 'baseUrl'>,
    settings: PoolSettings,
    { clock, sockets = new OutboundSockets(), peer = 'worker' }: ClientOptions,
  ) {
    this.#pool = new ConnectionPool(parseBaseUrl(spec.baseUrl), settings, { clock, sockets });
    this.#settings = { maxHeadBytes: settings.maxHeaderSize, peer };
  }

  send(request: WorkerRequest, sink: ResponseSink): Exchange {
    const exchange = new HttpExchange(request, this.#pool, this.#settings, sink);
    exchange.start(request);
    return exchange;
  }

  close(): void {
    this.#pool.close();
  }
}
