import type { Pieces } from '../../base/in-pieces.ts';
import {
  MOST_INSTANCES,
  type ControllerCall,
  type ControllerDialect,
  type Holding,
  type LmcacheInstance,
  type LookupPrompt,
  type Reading,
} from './controller.ts';
import { countOf, isLater, isRecord, textOf } from './json.ts';
import { withTokenList } from './token-list.ts';

export const LIST_INSTANCES: ControllerCall = { method: 'GET', path: '/instances', body: undefined };
export const COUNT_KEYS: ControllerCall = { method: 'GET', path: '/directory/stats', body: undefined };

interface CoordinatorSettings {
  /** Tokens of a chunk. */
  readonly chunkSize: number;
  /** Ranks of each engine, tensor and pipeline parallel ones multiplied. */
  readonly worldSize: number;
}

/** It names every place of every chunk. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Places that are read in one go: half a millisecond. */
const MOST_AT_ONCE = 2048;

/**
 * The coordinator of `lmcache server`. It names every place of every chunk for every rank, so that an instance holds as many
 * leading chunks as it has all ranks of. Places that all instances share (`shared`) tell nobody from the others and are left out.
 */
export class CoordinatorDialect implements ControllerDialect {
  readonly maxAnswerBytes = MAX_ANSWER_BYTES;
  readonly #settings: CoordinatorSettings;

  constructor(settings: CoordinatorSettings) {
    this.#settings = settings;
  }

  lookup({ ids, model, salt }: LookupPrompt): ControllerCall {
    const about = { model_name: model, world_size: this.#settings.worldSize, cache_salt: salt };
    const head = `${JSON.stringify(about).slice(0, -1)},"token_ids":`;
    return { method: 'POST', path: '/directory/lookup', body: withTokenList(head, ids, '}') };
  }

  *holdings(answer: unknown, tokens: number): Pieces<Reading<Holding> | undefined> {
    const results = isRecord(answer) ? answer['results'] : undefined;
    if (!Array.isArray(results)) return undefined;
    const { chunkSize, worldSize } = this.#settings;
    const most = Math.floor(tokens / chunkSize);
    const held = new Map<string, Run>();
    let unread = 0;
    let read = 0;
    for (const [index, result] of (results as readonly unknown[]).entries()) {
      const chunk = Math.floor(index / worldSize);
      if (chunk >= most) {
        unread += results.length - index;
        break;
      }
      const placements = isRecord(result) ? result['placements'] : undefined;
      if (!Array.isArray(placements)) unread += 1;
      else unread += note(held, placements, chunk, worldSize);
      read += Array.isArray(placements) ? placements.length : 1;
      if (read < MOST_AT_ONCE) continue;
      read = 0;
      yield;
    }
    const entries: Holding[] = [];
    for (const [instance, { chunks, onDisk }] of held)
      if (chunks > 0) entries.push({ instance, tokens: chunks * chunkSize, tier: onDisk ? 'disk' : 'cpu' });
    return { entries, unread };
  }
}

/** The leading chunks of one instance. */
interface Run {
  /** Whole ones. */
  chunks: number;
  /** Ranks of the chunk behind these. */
  ranks: number;
  /** Whether any rank of any of them lies in a tier below memory alone. */
  onDisk: boolean;
}

/** Notes where one rank of a chunk lies; returns how many of the places cannot be read. */
function note(
  held: Map<string, Run>,
  placements: readonly unknown[],
  chunk: number,
  worldSize: number,
): number {
  const here = new Map<string, boolean>();
  let unread = 0;
  for (const placement of placements) {
    const instance = isRecord(placement) ? textOf(placement['instance_id']) : undefined;
    if (!isRecord(placement) || instance === undefined) unread += 1;
    else if (placement['shared'] !== true)
      here.set(instance, (here.get(instance) ?? true) && placement['tier'] === 'l2');
  }
  for (const [instance, onDisk] of here) {
    const run = held.get(instance) ?? { chunks: 0, ranks: 0, onDisk: false };
    held.set(instance, run);
    if (run.chunks !== chunk) continue;
    run.ranks += 1;
    run.onDisk ||= onDisk;
    if (run.ranks < worldSize) continue;
    run.chunks += 1;
    run.ranks = 0;
  }
  return unread;
}

/** The instances of `GET /instances`; undefined where it is no such list. */
export function* readInstances(answer: unknown): Pieces<Reading<LmcacheInstance> | undefined> {
  const instances = isRecord(answer) ? answer['instances'] : undefined;
  if (!Array.isArray(instances)) return undefined;
  const found = new Map<string, LmcacheInstance>();
  let unread = 0;
  for (const [index, instance] of (instances as readonly unknown[]).entries()) {
    if (isLater(index)) yield;
    const id = isRecord(instance) ? textOf(instance['instance_id']) : undefined;
    if (!isRecord(instance) || id === undefined) {
      unread += 1;
      continue;
    }
    if (found.size >= MOST_INSTANCES && !found.has(id)) continue;
    const host = textOf(instance['ip']);
    found.set(id, { id, hosts: host === undefined ? [] : [host], chunks: undefined });
  }
  return { entries: [...found.values()], unread };
}

/** Keys in memory by instance, of `GET /directory/stats`; undefined where it does not say. */
export function* readKeyCounts(answer: unknown): Pieces<ReadonlyMap<string, number> | undefined> {
  const counts = isRecord(answer) ? answer['l1_keys_by_instance'] : undefined;
  if (!isRecord(counts)) return undefined;
  const found = new Map<string, number>();
  for (const [index, [id, value]] of Object.entries(counts).entries()) {
    if (isLater(index)) yield;
    const count = countOf(value);
    if (count !== undefined) found.set(id, count);
  }
  return found;
}
