import { eventWorkerOf } from '../cache-knowledge/events/event-sources.ts';
import type { KvEventSettings } from '../config/settings/kv-events.ts';
import type { WorkerSpec } from '../config/settings/settings.ts';
import type { EventSource } from '../workers/cache-config.ts';
import { readEndpoint, type Endpoint } from '../zmtp/endpoint.ts';

/** Where one engine of a worker is listened to. */
export interface EventEndpoint {
  readonly events: Endpoint;
  readonly replay: Endpoint | undefined;
  /** Only topics that begin so are subscribed to. */
  readonly topic: string;
}

/** Where the router would hear of a worker. */
export interface EventPlaces {
  readonly endpoints: readonly EventEndpoint[];
  /** Whether publishers connect to the router instead. */
  readonly connects: boolean;
  /** Whether the configuration wants events of this worker. */
  readonly wanted: boolean;
}

/** @param sources What the worker says of itself; undefined where it says nothing. */
export function eventPlaces(
  spec: WorkerSpec,
  settings: KvEventSettings,
  sources: readonly EventSource[] | undefined,
): EventPlaces {
  const { traits } = spec;
  const worker = { slot: 0, generation: 0, spec, traits, models: new Set<string>(), eventSources: sources };
  const ranks = eventWorkerOf(worker, settings).sources;
  const wanted =
    settings.follows !== 'none' &&
    (settings.follows === 'all' ||
      traits.kvEvents !== undefined ||
      settings.endpoints.has(spec.baseUrl) ||
      settings.bind !== undefined);
  return {
    endpoints: ranks.flatMap(({ endpoint, replayEndpoint, topic }) => {
      const events = endpointOf(endpoint);
      return events ? [{ events, replay: endpointOf(replayEndpoint), topic }] : [];
    }),
    connects: ranks.some(({ endpoint }) => endpoint === undefined),
    wanted,
  };
}

function endpointOf(text: string | undefined): Endpoint | undefined {
  return text === undefined ? undefined : readEndpoint(text);
}

/** The address that a publisher connects to instead of being listened to: vLLM does so where its endpoint names one address. */
export function dialledEndpoint(sources: readonly EventSource[]): string | undefined {
  return sources.find(({ endpoint }) => !/\*|::|^ipc:|^inproc:/.test(endpoint))?.endpoint;
}
