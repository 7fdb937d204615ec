import type { Clock } from '../../base/clock.ts';
import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import { collect } from '../collect.ts';
import type { WorkerClient } from '../client.ts';
import type { PoolSettings } from './connection-pool.ts';
import { HttpWorkerClient } from './http-client.ts';
import type { OutboundSockets } from './outbound-sockets.ts';

/** Of the answer only the status counts. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** The services that say whether a client's key is good, on connections that are kept. */
export class KeyServices {
  readonly #clock: Clock;
  readonly #pool: PoolSettings;
  readonly #sockets: OutboundSockets;
  readonly #clients = new Map<string, WorkerClient>();

  constructor(clock: Clock, pool: PoolSettings, sockets: OutboundSockets) {
    this.#clock = clock;
    this.#pool = pool;
    this.#sockets = sockets;
  }

  /**
   * `GET <url>` with the key as bearer token: 200 accepts it, 401 and 403 refuse it; any other answer, and none, says
   * nothing about it. Never rejects.
   */
  readonly ask = async (
    url: string,
    key: string,
    timeoutMs: number,
  ): Promise<'accepted' | 'refused' | 'unavailable' | 'unasked'> => {
    const { origin, pathname, search } = new URL(url);
    const answer = await collect(
      this.#clientOf(origin),
      {
        method: 'GET',
        path: pathname + search,
        headers: ['user-agent', 'vllm-router', 'authorization', `Bearer ${key}`],
        body: undefined,
        upgrade: undefined,
      },
      this.#clock,
      { timeoutMs, maxBytes: MAX_ANSWER_BYTES },
    );
    if (answer.kind === 'failed') return answer.code === 'out_of_sockets' ? 'unasked' : 'unavailable';
    if (answer.status === 200) return 'accepted';
    return answer.status === 401 || answer.status === 403 ? 'refused' : 'unavailable';
  };

  /** Others are asked from now on: closes the connections to those that are not among them. */
  keepOnly(urls: readonly string[]): void {
    const origins = new Set(urls.map((url) => new URL(url).origin));
    for (const [origin, client] of this.#clients) {
      if (origins.has(origin)) continue;
      client.close();
      this.#clients.delete(origin);
    }
  }

  close(): void {
    this.keepOnly([]);
  }

  #clientOf(origin: string): WorkerClient {
    let client = this.#clients.get(origin);
    if (!client) {
      const spec = {
        baseUrl: origin,
        rank: undefined,
        id: origin,
        apiKey: undefined,
        traits: DEFAULT_TRAITS,
      };
      client = new HttpWorkerClient(spec, this.#pool, { clock: this.#clock, sockets: this.#sockets });
      this.#clients.set(origin, client);
    }
    return client;
  }
}
