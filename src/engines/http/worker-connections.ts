import type { Clock } from '../../base/clock.ts';
import type { HealthSettings, WorkerSpec } from '../../config/settings.ts';
import type { WorkerClient } from '../client.ts';
import { tryCapabilities, type Capabilities } from './capabilities.ts';
import type { PoolSettings } from './connection-pool.ts';
import { HttpWorkerClient } from './http-client.ts';
import { probeWorker, type ProbeResult } from './probe.ts';

/** What a look at a server that is not registered yet found. */
export type Inspection =
  | (Extract<ProbeResult, { ok: true }> & { readonly capabilities: Capabilities })
  | Extract<ProbeResult, { ok: false }>;

export interface ConnectionDeps {
  readonly clock: Clock;
  readonly pool: PoolSettings;
  readonly health: HealthSettings;
}

/** The connections to every server, opened at first use. Ranks of one server share them. */
export class WorkerConnections {
  readonly #deps: ConnectionDeps;
  readonly #clients = new Map<string, WorkerClient>();
  readonly #versions = new Map<string, string>();

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
  }

  clientOf(spec: WorkerSpec): WorkerClient {
    let client = this.#clients.get(spec.baseUrl);
    if (!client) {
      client = new HttpWorkerClient(spec, this.#deps.pool);
      this.#clients.set(spec.baseUrl, client);
    }
    return client;
  }

  /** What its `/version` said at the last check. */
  versionOf({ baseUrl }: WorkerSpec): string | undefined {
    return this.#versions.get(baseUrl);
  }

  /** One health check of a registered worker. */
  async probe(spec: WorkerSpec): Promise<ProbeResult> {
    const result = await this.#probe(this.clientOf(spec), spec);
    this.noteVersion(spec, result);
    return result;
  }

  /** The same, and what it offers, for a server that may never be registered: on connections of its own. */
  async inspect(spec: WorkerSpec): Promise<Inspection> {
    const client = new HttpWorkerClient(spec, this.#deps.pool);
    try {
      const result = await this.#probe(client, spec);
      if (!result.ok) return result;
      const { clock, health } = this.#deps;
      return { ...result, capabilities: await tryCapabilities(client, spec, clock, health.timeoutMs) };
    } finally {
      client.close();
    }
  }

  noteVersion({ baseUrl }: WorkerSpec, result: ProbeResult): void {
    if (result.ok && result.version !== undefined) this.#versions.set(baseUrl, result.version);
  }

  /** The server's last worker has left; requests still running on it finish. */
  drop({ baseUrl }: WorkerSpec): void {
    this.#clients.get(baseUrl)?.close();
    this.#clients.delete(baseUrl);
    this.#versions.delete(baseUrl);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #probe(client: WorkerClient, spec: WorkerSpec): Promise<ProbeResult> {
    const { path, timeoutMs } = this.#deps.health;
    return probeWorker(client, spec, this.#deps.clock, { healthPath: path, timeoutMs });
  }
}
