import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import type {
  ByUrl,
  HealthSettings,
  ProxyAddress,
  WorkerSpec,
  WorkerTls,
} from '../../config/settings/settings.ts';
import type { StallProbe, StallProbeEnd } from '../../workers/stall-watch.ts';
import type { EngineState, Worker } from '../../workers/worker.ts';
import type { WorkerClient } from '../client.ts';
import { collect, type Collected, type CollectLimits } from '../collect.ts';
import { askBootstrap, type BootstrapAnswer } from '../prefill-decode/mooncake-bootstrap.ts';
import { tryCapabilities, type Capabilities } from './capabilities.ts';
import type { PoolSettings } from './connection-pool.ts';
import { EngineStateQuestions } from './engine-state.ts';
import {
  EVENT_SOURCES_PATH,
  MOST_SOURCES_BYTES,
  readEventSources,
  type SourcesAnswer,
} from './event-sources.ts';
import { HttpWorkerClient } from './http-client.ts';
import { probeOneToken } from './one-token.ts';
import type { OutboundSockets } from './outbound-sockets.ts';
import { probeHeaders, probeWorker, type ProbeResult } from './probe.ts';
import type { WorkerVersions } from './worker-versions.ts';

const MOST_STATE_BYTES = 64 * 1024;

type StallLimits = Parameters<StallProbe> extends [unknown, ...infer Rest] ? Rest : never;

/** What a look at a server that is not registered yet found. */
export type Inspection =
  | (Extract<ProbeResult, { ok: true }> & { readonly capabilities: Capabilities })
  | Extract<ProbeResult, { ok: false }>;

export interface ConnectionSettings {
  readonly pool: PoolSettings;
  readonly tls: ByUrl<WorkerTls>;
  readonly health: HealthSettings;
}

interface Server {
  readonly spec: WorkerSpec;
  readonly client: WorkerClient;
  readonly pool: PoolSettings;
}

export interface ConnectionDeps extends ConnectionSettings {
  readonly clock: Clock;
  readonly sockets: OutboundSockets;
  readonly versions: WorkerVersions;
  /** What a provider is reached through; absent: nothing. */
  readonly proxyFor?: (baseUrl: string) => ProxyAddress | undefined;
}

/** The connections to every server, opened at first use. Ranks of one server share them. */
export class WorkerConnections {
  readonly #clock: Clock;
  readonly #sockets: OutboundSockets;
  readonly #proxyFor: NonNullable<ConnectionDeps['proxyFor']>;
  #settings: ConnectionSettings;
  readonly #servers = new Map<string, Server>();
  readonly #versions: WorkerVersions;
  readonly #engineStates = new Map<string, EngineStateQuestions>();

  constructor(deps: ConnectionDeps) {
    this.#clock = deps.clock;
    this.#sockets = deps.sockets;
    this.#versions = deps.versions;
    this.#settings = deps;
    this.#proxyFor = deps.proxyFor ?? (() => undefined);
  }

  /** Where the connections themselves change, new ones are opened; requests on the old ones finish there. */
  reconfigure(settings: ConnectionSettings): void {
    this.#settings = settings;
    for (const [baseUrl, { spec, client, pool }] of this.#servers) {
      if (isDeepStrictEqual(pool, this.#poolOf(spec))) continue;
      client.close();
      this.#servers.delete(baseUrl);
    }
  }

  clientOf(spec: WorkerSpec): WorkerClient {
    let server = this.#servers.get(spec.baseUrl);
    if (!server) {
      const pool = this.#poolOf(spec);
      const peer = spec.traits.external ? 'external backend' : 'worker';
      server = {
        spec,
        client: new HttpWorkerClient(spec, pool, { clock: this.#clock, sockets: this.#sockets, peer }),
        pool,
      };
      this.#servers.set(spec.baseUrl, server);
    }
    return server.client;
  }

  /** What its `/version` said at the last check. */
  versionOf({ baseUrl }: WorkerSpec): string | undefined {
    return this.#versions.of(baseUrl);
  }

  /** One health check of a registered worker; `anew`: on a connection that is made for it. */
  async probe(spec: WorkerSpec, anew = false): Promise<ProbeResult & { readonly engine?: EngineState }> {
    const result = await this.#probe(this.clientOf(spec), spec, anew);
    this.noteVersion(spec, result);
    const questions = this.#engineStates.get(spec.baseUrl) ?? new EngineStateQuestions();
    this.#engineStates.set(spec.baseUrl, questions);
    if (result.ok) return { ...result, engine: await this.#engineState(spec, questions) };
    questions.reset();
    return result;
  }

  /** Where its server publishes the events of its caches. */
  async askEventSources(spec: WorkerSpec): Promise<SourcesAnswer> {
    const { timeoutMs } = this.#settings.health;
    return readEventSources(
      await this.#get(spec, EVENT_SOURCES_PATH, { timeoutMs, maxBytes: MOST_SOURCES_BYTES }),
    );
  }

  /** Which engines a prefill worker's Mooncake has. */
  askBootstrap(worker: Pick<Worker, 'spec' | 'traits'>): Promise<BootstrapAnswer> {
    return askBootstrap(worker, this.#settings.pool, { clock: this.#clock, sockets: this.#sockets });
  }

  /** Has a worker compute one token, or what is least for the route that it was silent on. */
  probeOneToken(
    spec: WorkerSpec,
    request: StallLimits[0] | undefined,
    limits: StallLimits[1],
  ): Promise<StallProbeEnd> {
    const healthPath = this.#settings.health.path;
    return probeOneToken(this.clientOf(spec), spec, request, this.#clock, { ...limits, healthPath });
  }

  /** The same, and what it offers, for a server that may never be registered: on connections of its own. */
  async inspect(spec: WorkerSpec): Promise<Inspection> {
    const client = new HttpWorkerClient(spec, this.#poolOf(spec), {
      clock: this.#clock,
      sockets: this.#sockets,
    });
    try {
      const result = await this.#probe(client, spec);
      if (!result.ok) return result;
      const { timeoutMs } = this.#settings.health;
      return { ...result, capabilities: await tryCapabilities(client, spec, this.#clock, timeoutMs) };
    } finally {
      client.close();
    }
  }

  noteVersion({ baseUrl }: WorkerSpec, result: ProbeResult): void {
    if (result.ok && result.version !== undefined) this.#versions.note(baseUrl, result.version);
  }

  /** The server's last worker has left; requests still running on it finish. */
  drop({ baseUrl }: WorkerSpec): void {
    this.#servers.get(baseUrl)?.client.close();
    this.#servers.delete(baseUrl);
    this.#versions.drop(baseUrl);
    this.#engineStates.delete(baseUrl);
  }

  close(): void {
    for (const { client } of this.#servers.values()) client.close();
  }

  #poolOf({ baseUrl, traits }: WorkerSpec): PoolSettings {
    const { pool, tls } = this.#settings;
    // Engines of one's own are reached as they are addressed, whatever the machine's way to the rest of the world.
    const proxy = traits.external && this.#proxyFor(baseUrl);
    return { ...pool, tls: tls.get(baseUrl), ...(proxy && { proxy }) };
  }

  /** These questions go to the engine itself, so that one that hangs does not answer: the check must not fail for it. */
  #engineState(spec: WorkerSpec, questions: EngineStateQuestions): Promise<EngineState> {
    const timeoutMs = this.#settings.health.timeoutMs / 2;
    return questions.ask((path) => this.#get(spec, path, { timeoutMs, maxBytes: MOST_STATE_BYTES }));
  }

  #get(spec: WorkerSpec, path: string, limits: CollectLimits): Promise<Collected> {
    const headers = probeHeaders(spec);
    return collect(
      this.clientOf(spec),
      { method: 'GET', path, headers, body: undefined, upgrade: undefined, reserved: true },
      this.#clock,
      limits,
    );
  }

  #probe(client: WorkerClient, spec: WorkerSpec, anew = false): Promise<ProbeResult> {
    const { path, timeoutMs } = this.#settings.health;
    return probeWorker(client, spec, this.#clock, { healthPath: path, timeoutMs, anew });
  }
}
