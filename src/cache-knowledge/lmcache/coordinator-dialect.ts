import type {
  ControllerCall,
  ControllerDialect,
  Holding,
  LmcacheInstance,
  LookupPrompt,
  Reading,
} from './controller.ts';
import { countOf, isRecord, textOf } from './json.ts';
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

  holdings(answer: unknown, tokens: number): Reading<Holding> | undefined {
    const results = isRecord(answer) ? answer['results'] : undefined;
    if (!Array.isArray(results)) return undefined;
    const { chunkSize, worldSize } = this.#settings;
    const most = Math.floor(tokens / chunkSize);
    const held = new Map<string, Run>();
    let unread = 0;
    for (const [index, result] of (results as readonly unknown[]).entries()) {
      const chunk = Math.floor(index / worldSize);
      if (chunk >= most) {
        unread += results.length - index;
        break;
      }
      const placements = isRecord(result) ? result['placements'] : undefined;
      if (!Array.isArray(placements)) unread += 1;
      else unread += note(held, placements, chunk, worldSize);
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
export function readInstances(answer: unknown): Reading<LmcacheInstance> | undefined {
  const instances = isRecord(answer) ? answer['instances'] : undefined;
  if (!Array.isArray(instances)) return undefined;
  const found = new Map<string, LmcacheInstance>();
  let unread = 0;
  for (const instance of instances as readonly unknown[]) {
    const id = isRecord(instance) ? textOf(instance['instance_id']) : undefined;
    if (!isRecord(instance) || id === undefined) {
      unread += 1;
      continue;
    }
    const host = textOf(instance['ip']);
    found.set(id, { id, hosts: host === undefined ? [] : [host], chunks: undefined });
  }
  return { entries: [...found.values()], unread };
}

/** Keys in memory by instance, of `GET /directory/stats`; undefined where it does not say. */
export function readKeyCounts(answer: unknown): ReadonlyMap<string, number> | undefined {
  const counts = isRecord(answer) ? answer['l1_keys_by_instance'] : undefined;
  if (!isRecord(counts)) return undefined;
  return new Map(
    Object.entries(counts).flatMap(([id, value]) => {
      const count = countOf(value);
      return count === undefined ? [] : [[id, count] as const];
    }),
  );
}
