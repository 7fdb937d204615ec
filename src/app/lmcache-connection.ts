import type { Clock } from '../base/clock.ts';
import type { AskController } from '../cache-knowledge/lmcache/controller.ts';
import type { LmcacheSettings } from '../config/settings/settings.ts';
import { collect } from '../engines/collect.ts';
import type { PoolSettings } from '../engines/http/connection-pool.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import type { OutboundSockets } from '../engines/http/outbound-sockets.ts';

interface ConnectionDeps {
  readonly clock: Clock;
  readonly sockets: OutboundSockets;
  readonly pool: PoolSettings;
}

type Target = Pick<LmcacheSettings, 'base' | 'prefix' | 'authorization'>;

/** Kept connections to LMCache's controller. None is made before something is asked. */
export class LmcacheConnection {
  readonly #deps: ConnectionDeps;
  #target: Target;
  #client: HttpWorkerClient;

  constructor(target: Target, deps: ConnectionDeps) {
    this.#deps = deps;
    this.#target = target;
    this.#client = connect(target, deps);
  }

  readonly ask: AskController = ({ method, path, body }, limits) => {
    const { prefix, authorization } = this.#target;
    const headers = [
      'user-agent',
      'vllm-router',
      'accept',
      'application/json',
      'accept-encoding',
      'identity',
    ];
    if (authorization !== undefined) headers.push('authorization', authorization);
    if (body) headers.push('content-type', 'application/json');
    const request = { method, path: prefix + path, headers, body, upgrade: undefined };
    return collect(this.#client, request, this.#deps.clock, limits);
  };

  /** What is under way at another address goes on. */
  reconfigure(target: Target): void {
    const { base } = this.#target;
    this.#target = target;
    if (target.base === base) return;
    this.#client.close();
    this.#client = connect(target, this.#deps);
  }

  close(): void {
    this.#client.close();
  }
}

function connect({ base }: Target, { pool, ...deps }: ConnectionDeps): HttpWorkerClient {
  return new HttpWorkerClient({ baseUrl: base }, pool, { ...deps, peer: 'controller' });
}
