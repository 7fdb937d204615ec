import type { KvEventSettings, WorkerEventTraits } from '../../config/settings/kv-events.ts';
import type { EventSource } from '../../workers/cache-config.ts';
import type { Worker } from '../../workers/worker.ts';
import type { EventWorker, RankSource } from './event-worker.ts';

type Told = Pick<Worker, 'slot' | 'generation' | 'spec' | 'traits' | 'models' | 'eventSources'>;

const PORT = /^tcp:\/\/(.*):(\d+)$/;

/** A worker with the places where its engines publish, as far as they are to be followed. */
export function eventWorkerOf(worker: Told, settings: KvEventSettings): EventWorker {
  const { host, port } = addressOf(worker.spec.baseUrl);
  return {
    slot: worker.slot,
    generation: worker.generation,
    address: `${host}:${port}`,
    models: [...worker.models],
    sources: sourcesOf(worker, host, settings),
  };
}

/** Why a worker has none, in words for operators. */
export function whyNoSources({ eventSources }: Told, settings: KvEventSettings): string {
  if (settings.follows === 'none') return 'kv_events.enabled is off';
  if (eventSources === undefined) return 'nothing is configured, and it does not say where it publishes';
  if (eventSources.length === 0) return 'it says that it publishes none';
  return settings.bind === undefined
    ? 'its publisher connects, and kv_events.bind is not set'
    : 'it publishes at no endpoint that can be connected to';
}

/** What is configured for it goes before what it says, and that before what is configured for all. */
function sourcesOf(worker: Told, host: string, settings: KvEventSettings): RankSource[] {
  const { spec, traits, eventSources } = worker;
  if (settings.follows === 'none') return [];
  const own = ownEndpoint(traits.kvEvents) ?? settings.endpoints.get(spec.baseUrl);
  const usual = settings.bind === undefined ? settings.endpoint : undefined;
  if (own !== undefined || traits.kvEvents !== undefined)
    return configured(own ?? usual, host, spec.rank, { settings, own: traits.kvEvents });
  if (eventSources !== undefined)
    return eventSources
      .filter(({ rank }) => spec.rank === undefined || rank === spec.rank)
      .flatMap((source) => advertised(source, host, settings));
  if (settings.bind === undefined && settings.follows === 'known') return [];
  return configured(usual, host, spec.rank, { settings, own: undefined });
}

/** Undefined where nothing is said of this worker's. */
function ownEndpoint(own: WorkerEventTraits | undefined): string | undefined {
  if (own?.endpoint !== undefined) return own.endpoint;
  return own?.port === undefined ? undefined : `tcp://{host}:${own.port}`;
}

/** @param template of the first rank; undefined where publishers connect. */
function configured(
  template: string | undefined,
  host: string,
  rank: number | undefined,
  { settings, own }: { readonly settings: KvEventSettings; readonly own: WorkerEventTraits | undefined },
): RankSource[] {
  const first = template?.replace('{host}', inUrl(host));
  const replayPort = own?.replayPort ?? settings.replayPort;
  const replayHost = (first === undefined ? undefined : PORT.exec(first)?.[1]) ?? inUrl(host);
  const replay = replayPort === undefined ? undefined : `tcp://${replayHost}:${replayPort}`;
  const count = own?.ranks ?? settings.ranks;
  const ranks = rank === undefined ? Array.from({ length: count }, (_, index) => index) : [rank];
  return ranks.map((one) => ({
    rank: one,
    endpoint: first === undefined ? undefined : plus(first, one),
    replayEndpoint: replay === undefined ? undefined : plus(replay, one),
    topic: own?.topic ?? settings.topic,
  }));
}

/**
 * Where a worker says that it publishes counts for ports and topic alone: nobody makes the router connect to another host. A
 * publisher binds where its endpoint has a wildcard, and connects to a subscriber otherwise.
 */
function advertised(
  { rank, endpoint, replayEndpoint, topic }: EventSource,
  host: string,
  settings: KvEventSettings,
): RankSource[] {
  const at = (text: string | undefined): string | undefined => {
    const port = text === undefined ? undefined : PORT.exec(text)?.[2];
    return port === undefined ? undefined : `tcp://${inUrl(host)}:${port}`;
  };
  const binds = endpoint.includes('*') || endpoint.includes('::');
  if (binds ? at(endpoint) === undefined : settings.bind === undefined) return [];
  return [{ rank, endpoint: binds ? at(endpoint) : undefined, replayEndpoint: at(replayEndpoint), topic }];
}

function plus(endpoint: string, rank: number): string {
  return endpoint.replace(/:(\d+)$/, (_, port: string) => `:${Number(port) + rank}`);
}

function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Host without brackets, and port; a worker at a socket of this machine is this machine. */
function addressOf(baseUrl: string): { readonly host: string; readonly port: string } {
  const url = URL.parse(baseUrl);
  if (!url || url.hostname === '') return { host: '127.0.0.1', port: '' };
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port || (url.protocol === 'https:' ? '443' : '80'),
  };
}
