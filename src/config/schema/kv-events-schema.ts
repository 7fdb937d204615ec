import * as z from 'zod';
import { readEndpoint } from '../../zmtp/endpoint.ts';
import { count, key, port, text } from './field.ts';
import { parseWorkerUrl } from './worker-url.ts';

const HOST_PLACE = '{host}';
/** Engines publish on as many ports, one behind the other. */
const MOST_RANKS = 256;
const LEAST_INDEX_BYTES = 2 ** 20;
const MOST_INDEX_BYTES = 2 ** 31;

const endpointTemplate = () =>
  z
    .string()
    .refine(isTemplate, 'expected tcp://host:port, where {host} stands for the host of the worker')
    .refine((value) => readPort(value) !== 0, 'expected a port other than 0');

/** `URL=tcp://host:port`, as the flag of other routers has it. */
const ownEndpoint = z
  .string()
  .refine(
    (value) => splitEndpoint(value) !== undefined,
    'expected the URL of a worker, =, and tcp://host:port: http://gpu1:8000=tcp://gpu1:5557',
  );

const bindEndpoint = z.string().refine((value) => {
  const endpoint = readEndpoint(value);
  return endpoint?.kind === 'ipc' || (endpoint !== undefined && endpoint.port !== 0);
}, 'expected tcp://*:port or tcp://address:port');

const eventsPort = () => port().min(1);

/** How engines' events of their caches are received. */
export const kvEventKeys = {
  kv_events: z
    .strictObject({
      enabled: key(z.enum(['auto', 'on', 'off']).default('auto'), {
        group: 'Cache events',
        about:
          'Whose events are followed. auto: workers that say where they publish, or for which it is configured; all of them where port or endpoint is given, a policy is kv_aware, or cache_knowledge is events. on: all. off: nobody.',
      }),
      port: key(eventsPort().optional(), {
        group: 'Cache events',
        about: 'Where engines publish; rank r of a server on this port + r.',
        defaultText: '5557',
      }),
      replay_port: key(eventsPort().optional(), {
        group: 'Cache events',
        about:
          'Where they can be asked for what was missed (replay_endpoint of vLLM). Without it, what a worker held before is not known.',
        defaultText: 'none, but what a worker says',
      }),
      topic: key(z.string().max(1024).default(''), {
        group: 'Cache events',
        flags: ['--kv-events-topic', '--kv-events-topic-filter'],
        about: 'Only topics that begin so are subscribed to.',
        defaultText: 'none: all of them',
      }),
      endpoint: key(endpointTemplate().optional(), {
        group: 'Cache events',
        flags: ['--kv-events-endpoint-template'],
        about:
          'Where engines publish, for example tcp://{host}:5557 with the host of the worker; in place of port.',
        value: 'ENDPOINT',
        defaultText: 'tcp://{host}:5557',
      }),
      endpoints: key(z.array(ownEndpoint).default([]), {
        group: 'Cache events',
        flags: ['--kv-events-endpoint'],
        about:
          'Where single workers publish: URL=tcp://host:port. In a file, kv_events of the worker says the same.',
        value: 'URL=ENDPOINT',
      }),
      ranks: key(count(1).max(MOST_RANKS).default(1), {
        group: 'Cache events',
        about: 'How many engines publish behind one URL, where workers do not say it themselves.',
      }),
      bind: key(bindEndpoint.optional(), {
        group: 'Cache events',
        about:
          'Takes publishers that connect, for example at tcp://*:5557. Their topic kv@host:port@model names the worker that they belong to.',
        value: 'ENDPOINT',
        defaultText: 'none',
      }),
      max_index_bytes: key(count(LEAST_INDEX_BYTES).max(MOST_INDEX_BYTES).default(268_435_456), {
        group: 'Cache events',
        about:
          'Memory for what engines say they hold, bytes: 40 for each block of each worker, so a MiB for 27,000 blocks. Where it does not do, blocks go of workers that have more than their share.',
      }),
    })
    .prefault({}),
};

/** Where older files have two of them. */
export const oldKvEventKeys = {
  kv_events: z
    .strictObject({
      topic_filter: key(z.string().max(1024).optional(), {
        group: 'Cache events',
        flags: [],
        env: false,
        about: 'The place of kv_events.topic in older files; give one of the two.',
        defaultText: 'none',
      }),
      default_port: key(eventsPort().optional(), {
        group: 'Cache events',
        flags: [],
        env: false,
        about: 'The place of kv_events.port in older files; give one of the two.',
        defaultText: 'none',
      }),
    })
    .optional(),
};

/** What one worker says of its own events. */
export const workerKvEvents = z.strictObject({
  port: eventsPort().nullish(),
  replay_port: eventsPort().nullish(),
  topic: z.string().max(1024).nullish(),
  endpoint: endpointTemplate().nullish(),
  ranks: count(1).max(MOST_RANKS).nullish(),
});

/** The same in labels, which is how annotations of pods come here. */
export const EVENT_LABELS = {
  kv_events_port: eventsPort(),
  kv_events_replay_port: eventsPort(),
  kv_events_topic: text().max(1024),
  kv_events_ranks: count(1).max(MOST_RANKS),
} as const;

function isTemplate(value: string): boolean {
  return readEndpoint(value.replace(HOST_PLACE, 'host')) !== undefined;
}

function readPort(value: string): number | undefined {
  const endpoint = readEndpoint(value.replace(HOST_PLACE, 'host'));
  return endpoint?.kind === 'tcp' ? endpoint.port : undefined;
}

/** Undefined where it is not of that form. */
export function splitEndpoint(
  value: string,
): { readonly url: string; readonly endpoint: string } | undefined {
  const at = value.lastIndexOf('=');
  const endpoint = value.slice(at + 1);
  const parsed = parseWorkerUrl(value.slice(0, Math.max(0, at)));
  if (parsed.kind === 'bad' || readEndpoint(endpoint) === undefined) return undefined;
  return { url: parsed.address.baseUrl, endpoint };
}
