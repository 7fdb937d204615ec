import { isFields, type Fields } from '../server/fields.ts';
import { NO_SCOPE, scopeHash, type CacheScope } from '../engine/cache-scope.ts';
import { blockHashes } from '../engine/tokens.ts';
import type { StoredChunks } from './stored-chunks.ts';

/** `old_controller`: one that has no list of its instances. */
export const LMCACHE_APIS = ['controller', 'old_controller', 'coordinator'] as const;
export type LmcacheApi = (typeof LMCACHE_APIS)[number];

/** A simulated worker as LMCache sees it. */
export interface SimInstance {
  readonly id: string;
  readonly host: string;
  /** Its engines; each is a worker of the instance. */
  readonly ranks: number;
}

export interface LmcacheAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface LmcacheQuestion {
  readonly method: string;
  readonly path: string;
  /** Parsed; undefined where it is no JSON. */
  readonly body: unknown;
}

interface Known {
  readonly api: LmcacheApi;
  readonly chunks: StoredChunks;
  /** Tokens of the workers' blocks. */
  readonly blockSize: number;
  readonly instances: readonly SimInstance[];
  /** Names of adapters, whose caches are apart. */
  readonly adapters: readonly string[];
  /** Unix seconds. */
  readonly startedAt: number;
}

const NOT_FOUND: LmcacheAnswer = { status: 404, body: { detail: 'Not Found' } };
/** Where LMCache's own servers answer for a worker. */
const WORKER_PORT = 8500;
const HTTP_PORT = 8080;

/** What the real ones answer, as far as routers ask. */
export function answerLmcache(known: Known, { method, path, body }: LmcacheQuestion): LmcacheAnswer {
  const route = `${method} ${path.split('?')[0] ?? ''}`;
  const isCoordinator = known.api === 'coordinator';
  if (route === 'POST /lookup' && !isCoordinator) return lookup(known, body);
  if (route === 'GET /controller/workers' && known.api === 'controller') return listWorkers(known);
  if (!isCoordinator) return NOT_FOUND;
  if (route === 'GET /instances') return listInstances(known);
  if (route === 'GET /directory/stats') return countKeys(known);
  if (route === 'POST /directory/lookup') return lookUpPlaces(known, body);
  return NOT_FOUND;
}

/** Of each chunk only the first registered holder is noted; the walk ends at the first chunk that nobody has. */
function lookup(known: Known, body: unknown): LmcacheAnswer {
  const ids = idsOf(body, 'tokens');
  if (!ids) return unprocessable('tokens');
  const layout: Record<string, [location: string, end: number]> = {};
  for (const [index, [first]] of holdersOf(known, ids, NO_SCOPE).entries()) {
    if (first === undefined) break;
    layout[first] = ['LocalCPUBackend', (index + 1) * known.chunks.blocksPerChunk * known.blockSize];
  }
  return { status: 200, body: { event_id: `Lookup${crypto.randomUUID()}`, layout_info: layout } };
}

function listWorkers({ instances, chunks, startedAt }: Known): LmcacheAnswer {
  const workers = instances.flatMap(({ id, host, ranks }) =>
    Array.from({ length: ranks }, (_, rank) => ({
      instance_id: id,
      worker_id: rank,
      ip: host,
      port: WORKER_PORT + rank,
      peer_init_url: null,
      registration_time: startedAt,
      last_heartbeat_time: startedAt,
      key_count: chunks.chunksOf(id),
    })),
  );
  return { status: 200, body: { workers, total_count: workers.length } };
}

function listInstances({ instances, startedAt }: Known): LmcacheAnswer {
  const list = instances.map(({ id, host }) => ({
    ...{ instance_id: id, ip: host, http_port: HTTP_PORT, registration_time: startedAt },
    ...{ metadata: {}, p2p_advertised_url: '', mq_port: 0 },
  }));
  return { status: 200, body: { instances: list } };
}

function countKeys({ instances, chunks }: Known): LmcacheAnswer {
  const counts = Object.fromEntries(instances.map(({ id }) => [id, chunks.chunksOf(id)]));
  const keys = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return { status: 200, body: { num_keys: keys, num_placements: keys, l1_keys_by_instance: counts } };
}

/** Every place of every chunk, once for each rank. */
function lookUpPlaces(known: Known, body: unknown): LmcacheAnswer {
  const ids = idsOf(body, 'token_ids');
  const worldSize = isFields(body) ? (body['world_size'] ?? 1) : 1;
  if (!ids || !isFields(body)) return unprocessable('token_ids');
  if (typeof worldSize !== 'number' || worldSize < 1 || worldSize > 4096) return unprocessable('world_size');
  const results = holdersOf(known, ids, scopeIn(body, known.adapters)).flatMap((holders) =>
    Array.from({ length: worldSize }, (_, rank) => ({
      key: { model_name: body['model_name'], kv_rank: rank, object_group_id: 0 },
      placements: holders.map((id) => ({
        ...{ instance_id: id, incarnation: 1, tier: 'l1', backend: 'dram', size_bytes: 1, shared: false },
      })),
      token_ids: [],
      access_count: 0,
    })),
  );
  return { status: 200, body: { chunks: results.length / worldSize, results } };
}

function holdersOf({ chunks, blockSize }: Known, ids: readonly number[], scope: CacheScope) {
  return chunks.holders(blockHashes(ids, blockSize, scopeHash(scope)));
}

function scopeIn(body: Fields, adapters: readonly string[]): CacheScope {
  const { model_name: model, cache_salt: salt } = body;
  const isAdapter = typeof model === 'string' && adapters.includes(model);
  return {
    adapter: isAdapter ? model : undefined,
    salt: typeof salt === 'string' && salt !== '' ? salt : undefined,
  };
}

function idsOf(body: unknown, name: string): readonly number[] | undefined {
  const ids = isFields(body) ? body[name] : undefined;
  return Array.isArray(ids) && ids.every((id) => Number.isInteger(id))
    ? (ids as readonly number[])
    : undefined;
}

function unprocessable(field: string): LmcacheAnswer {
  const problem = { type: 'missing', loc: ['body', field], msg: 'Field required' };
  return { status: 422, body: { detail: [problem] } };
}

/** What a controller answers that lies. */
export function lie({ path }: LmcacheQuestion, instances: readonly SimInstance[]): LmcacheAnswer {
  const [first = 'sim-1', second = 'sim-2'] = instances.map(({ id }) => id);
  const layout = {
    [first]: ['LocalCPUBackend', -256],
    [second]: ['LocalCPUBackend', 1e12],
    nobody: ['LocalCPUBackend', 256],
    '': null,
  };
  if (path.startsWith('/controller'))
    return {
      status: 200,
      body: { workers: [{ instance_id: 'nobody', ip: '192.0.2.1', key_count: -7 }, null] },
    };
  return { status: 200, body: { layout_info: layout, instances: [{}], results: [{ placements: [null] }] } };
}
