import { isObject } from '../../api/prompt-sink.ts';
import type { EventSource } from '../../workers/cache-config.ts';
import type { Collected } from '../collect.ts';

export const EVENT_SOURCES_PATH = '/kv_event_sources';
export const MOST_SOURCES_BYTES = 256 * 1024;

/** Ranks of one server, and characters of a name, beyond which an answer is not one of vLLM's. */
const MOST_RANKS = 1024;
const MOST_CHARACTERS = 512;

export type SourcesAnswer =
  | { readonly kind: 'told'; readonly sources: readonly EventSource[] }
  /** The server has no such route. */
  | { readonly kind: 'not_offered' }
  /** It may answer another time. */
  | { readonly kind: 'failed' };

/**
 * What `/kv_event_sources` answers: vLLM 0.32 gives an object with the settings of the publisher of each data-parallel rank,
 * by its number. Publishers that no socket leads to are left out.
 */
export function readEventSources(answer: Collected): SourcesAnswer {
  if (answer.kind === 'failed') return { kind: 'failed' };
  if (answer.status === 404 || answer.status === 405) return { kind: 'not_offered' };
  if (answer.status !== 200) return { kind: 'failed' };
  const body = parsed(answer.body);
  if (!isObject(body)) return { kind: 'not_offered' };
  const entries = Object.entries(body).slice(0, MOST_RANKS);
  return { kind: 'told', sources: entries.flatMap(([rank, source]) => readSource(Number(rank), source)) };
}

function readSource(rank: number, source: unknown): EventSource[] {
  if (!Number.isInteger(rank) || rank < 0 || !isObject(source)) return [];
  const endpoint = nameOf(source['endpoint']);
  if (source['enable_kv_cache_events'] !== true || source['publisher'] !== 'zmq' || endpoint === undefined)
    return [];
  const topic = nameOf(source['topic']) ?? '';
  return [{ rank, endpoint, replayEndpoint: nameOf(source['replay_endpoint']), topic }];
}

function nameOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= MOST_CHARACTERS ? value : undefined;
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
