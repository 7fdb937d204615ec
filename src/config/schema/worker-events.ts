import type * as z from 'zod';
import type { WorkerEventTraits } from '../settings/kv-events.ts';
import { EVENT_LABELS, type workerKvEvents } from './kv-events-schema.ts';

export type WorkerEventsEntry = z.output<typeof workerKvEvents>;

/** What a worker's entry says of its events, else its labels; undefined where neither says anything. */
export function workerEventTraits(
  entry: WorkerEventsEntry | null | undefined,
  labels: Readonly<Record<string, string>>,
): WorkerEventTraits | undefined {
  const said = {
    endpoint: entry?.endpoint ?? undefined,
    port: entry?.port ?? numberLabel(labels, 'kv_events_port'),
    replayPort: entry?.replay_port ?? numberLabel(labels, 'kv_events_replay_port'),
    topic: entry?.topic ?? labels['kv_events_topic'],
    ranks: entry?.ranks ?? numberLabel(labels, 'kv_events_ranks'),
  };
  return Object.values(said).every((value) => value === undefined) ? undefined : said;
}

type NumberLabel = Exclude<keyof typeof EVENT_LABELS, 'kv_events_topic'>;

function numberLabel(labels: Readonly<Record<string, string>>, name: NumberLabel): number | undefined {
  const text = labels[name];
  return text === undefined ? undefined : EVENT_LABELS[name].safeParse(Number(text)).data;
}

const EXPECTED: Readonly<Record<keyof typeof EVENT_LABELS, string>> = {
  kv_events_port: 'a port',
  kv_events_replay_port: 'a port',
  kv_events_topic: 'a topic',
  kv_events_ranks: 'a number of ranks',
};

/** What is wrong with labels about events: they have no effect. */
export function eventLabelNotices(labels: Readonly<Record<string, string>>): string[] {
  const names = Object.keys(EVENT_LABELS) as (keyof typeof EVENT_LABELS)[];
  return names.flatMap((name) => {
    const text = labels[name];
    if (text === undefined) return [];
    const value = name === 'kv_events_topic' ? text : Number(text);
    return EVENT_LABELS[name].safeParse(value).success
      ? []
      : [`${name}: without effect, expected ${EXPECTED[name]}`];
  });
}

/** The way back, as an entry says it. */
export function eventEntry({
  endpoint,
  port,
  replayPort,
  topic,
  ranks,
}: WorkerEventTraits): WorkerEventsEntry {
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(port === undefined ? {} : { port }),
    ...(replayPort === undefined ? {} : { replay_port: replayPort }),
    ...(topic === undefined ? {} : { topic }),
    ...(ranks === undefined ? {} : { ranks }),
  };
}
