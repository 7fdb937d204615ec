import type { Pieces } from '../../base/in-pieces.ts';
import {
  MOST_INSTANCES,
  type ControllerCall,
  type ControllerDialect,
  type Holding,
  type LmcacheInstance,
  type Reading,
} from './controller.ts';
import { countOf, isLater, isRecord, textOf } from './json.ts';
import { withTokenList } from './token-list.ts';

export const LIST_WORKERS: ControllerCall = { method: 'GET', path: '/controller/workers', body: undefined };

/** It has one entry for each instance, of which there are thousands at most. */
const MAX_ANSWER_BYTES = 512 * 1024;

/**
 * `lmcache_controller`. It walks the chunks of the prompt and notes of each only the first instance that registered it, so
 * that what it says of an instance is the end of the last chunk it was noted for: those before it may be another's, and other holders
 * of the same chunks are not named.
 */
export const controllerDialect: ControllerDialect = {
  maxAnswerBytes: MAX_ANSWER_BYTES,

  lookup: ({ ids }) => ({ method: 'POST', path: '/lookup', body: withTokenList('{"tokens":', ids, '}') }),

  *holdings(answer, tokens) {
    const layout = isRecord(answer) ? answer['layout_info'] : undefined;
    if (!isRecord(layout)) return undefined;
    const entries: Holding[] = [];
    let unread = 0;
    for (const [index, [instance, value]] of Object.entries(layout).entries()) {
      if (isLater(index)) yield;
      const [location, matched] = Array.isArray(value) ? (value as readonly unknown[]) : [];
      const held = countOf(matched);
      if (instance === '' || held === undefined || held > tokens) unread += 1;
      else if (held > 0) entries.push({ instance, tokens: held, tier: tierOf(location) });
    }
    return { entries, unread };
  },
};

/** Names of LMCache's storage backends. */
function tierOf(location: unknown): Holding['tier'] {
  return location === 'LocalDiskBackend' ? 'disk' : 'cpu';
}

/** The instances of `GET /controller/workers`, which lists one worker for each rank of an engine; undefined where it is no such list. */
export function* readWorkers(answer: unknown): Pieces<Reading<LmcacheInstance> | undefined> {
  const workers = isRecord(answer) ? answer['workers'] : undefined;
  if (!Array.isArray(workers)) return undefined;
  const found = new Map<string, { hosts: Set<string>; chunks: number | undefined }>();
  let unread = 0;
  for (const [index, worker] of (workers as readonly unknown[]).entries()) {
    if (isLater(index)) yield;
    const id = isRecord(worker) ? textOf(worker['instance_id']) : undefined;
    if (!isRecord(worker) || id === undefined) {
      unread += 1;
      continue;
    }
    const known = found.get(id) ?? { hosts: new Set<string>(), chunks: undefined };
    if (found.size >= MOST_INSTANCES && !found.has(id)) continue;
    found.set(id, known);
    const host = textOf(worker['ip']);
    if (host !== undefined) known.hosts.add(host);
    const chunks = countOf(worker['key_count']);
    // Each rank stores its part of the same chunks.
    if (chunks !== undefined) known.chunks = Math.max(known.chunks ?? 0, chunks);
  }
  const entries = [...found].map(([id, { hosts, chunks }]) => ({ id, hosts: [...hosts], chunks }));
  return { entries, unread };
}
