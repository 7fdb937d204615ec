/** The simulated controller answers as real ones do: the same members at the same steps. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { inOneGo } from '../../base/in-pieces.ts';
import { controllerDialect, readWorkers } from '../../cache-knowledge/lmcache/controller-dialect.ts';
import {
  CoordinatorDialect,
  readInstances,
  readKeyCounts,
} from '../../cache-knowledge/lmcache/coordinator-dialect.ts';
import { BlockCache } from '../engine/block-cache.ts';
import { blockHashes } from '../engine/tokens.ts';
import { parseSimFlags } from '../server/parse-flags.ts';
import { parseLmcacheFault } from './lmcache-faults.ts';
import { answerLmcache, type LmcacheApi } from './lmcache-routes.ts';
import { StoredChunks } from './stored-chunks.ts';

interface Exchange {
  readonly note: string;
  readonly body: unknown;
}

const DATA = new URL('../../../test/data/lmcache-exchanges.json', import.meta.url);
const { exchanges } = JSON.parse(readFileSync(DATA, 'utf8')) as { readonly exchanges: readonly Exchange[] };
const ids = Array.from({ length: 1024 }, (_, index) => index + 1);

/** Two instances: the first has 2 of the prompt's 4 chunks and registered them first, the second all 4. */
function setUp(api: LmcacheApi) {
  const chunks = new StoredChunks(16);
  const caches = ['inst-a', 'inst-b'].map((id) => {
    const cache = new BlockCache(128);
    chunks.follow(id, cache);
    return cache;
  });
  const hashes = blockHashes(ids, 16, 0);
  for (let block = 0; block < 32; block++) caches[0]!.keep(hashes, block);
  for (let block = 0; block < 64; block++) caches[1]!.keep(hashes, block);
  const instances = ['inst-a', 'inst-b'].map((id, index) => ({ id, host: `10.0.0.${index + 1}`, ranks: 1 }));
  const ask = (method: string, path: string, body?: unknown) =>
    answerLmcache(
      { api, chunks, blockSize: 16, instances, adapters: ['lora'], startedAt: 0 },
      { method, path, body },
    );
  return { ask, caches };
}

function real(note: string): unknown {
  return exchanges.find((one) => one.note.includes(note))?.body;
}

/** Names of members at every depth, of lists those of the first entry; ids are no names. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object' || value === null) return typeof value;
  const entries = Object.entries(value).map(([name, inner]) => [
    name.replace(/^(inst|mp)-\w$/, '*'),
    shapeOf(inner),
  ]);
  return Object.fromEntries(entries);
}

describe('the simulated controller', () => {
  it('answers look-ups and lists as the real one does', () => {
    const { ask } = setUp('controller');
    const { status, body } = ask('POST', '/lookup', { tokens: ids });
    assert.equal(status, 200);
    assert.deepEqual(shapeOf(body), shapeOf(real('inst-b has all 4')));
    assert.deepEqual(
      inOneGo(controllerDialect.holdings(body, 1024)),
      inOneGo(controllerDialect.holdings(real('inst-b has all 4'), 1024)),
    );
    const { body: list } = ask('GET', '/controller/workers');
    assert.deepEqual(
      { ...(shapeOf(list) as object) },
      { ...(shapeOf(real('two instances, one of two ranks')) as object) },
    );
    assert.deepEqual(
      inOneGo(readWorkers(list))?.entries.map(({ id, chunks }) => [id, chunks]),
      [
        ['inst-a', 2],
        ['inst-b', 4],
      ],
    );
    assert.equal(ask('POST', '/lookup', { token: [1] }).status, 422);
    assert.equal(ask('GET', '/instances').status, 404);
    assert.equal(setUp('old_controller').ask('GET', '/controller/workers').status, 404);
  });

  it('forgets what is evicted, and what is cleared', () => {
    const { ask, caches } = setUp('controller');
    const other = blockHashes(
      ids.map((id) => id + 5000),
      16,
      0,
    );
    const held = () =>
      inOneGo(controllerDialect.holdings(ask('POST', '/lookup', { tokens: ids }).body, 1024))?.entries;
    for (let block = 0; block < 64; block++) caches[1]!.keep(other, block);
    for (const block of [0, 1]) caches[1]!.keep(blockHashes([...ids.slice(0, 32)].reverse(), 16, 0), block);
    assert.equal(held()?.find(({ instance }) => instance === 'inst-b')?.tokens, 1024);
    assert.ok(caches[0]!.reset());
    assert.deepEqual(held(), [{ instance: 'inst-b', tokens: 1024, tier: 'cpu' }]);
    assert.ok(caches[1]!.reset());
    assert.deepEqual(held(), []);
  });
});

describe('the simulated coordinator', () => {
  it('names every place of every chunk, as the real one does', () => {
    const { ask } = setUp('coordinator');
    const dialect = new CoordinatorDialect({ chunkSize: 256, worldSize: 2 });
    const question = { model_name: 'm', world_size: 2, token_ids: ids, cache_salt: '' };
    const { body } = ask('POST', '/directory/lookup', question);
    assert.deepEqual(
      inOneGo(dialect.holdings(body, 1024))?.entries.map(({ instance, tokens }) => [instance, tokens]),
      [
        ['inst-a', 512],
        ['inst-b', 1024],
      ],
    );
    assert.deepEqual(
      inOneGo(dialect.holdings(ask('POST', '/directory/lookup', { ...question, cache_salt: 's' }).body, 1024))
        ?.entries,
      [],
    );
    assert.deepEqual(
      inOneGo(
        dialect.holdings(ask('POST', '/directory/lookup', { ...question, model_name: 'lora' }).body, 1024),
      )?.entries,
      [],
    );
    assert.deepEqual(shapeOf(ask('GET', '/instances').body), shapeOf(real('coordinator: two instances')));
    assert.deepEqual(inOneGo(readInstances(ask('GET', '/instances').body))?.entries.length, 2);
    assert.deepEqual(
      [...(inOneGo(readKeyCounts(ask('GET', '/directory/stats').body)) ?? [])],
      [
        ['inst-a', 2],
        ['inst-b', 4],
      ],
    );
    assert.equal(ask('POST', '/directory/lookup', { ...question, world_size: 0 }).status, 422);
    assert.equal(ask('POST', '/lookup', { tokens: ids }).status, 404);
  });
});

describe('flags of the simulated controller', () => {
  const parse = (text: string) => parseSimFlags(text.split(' '));

  it('give the workers room on the CPU, and the controller its port', () => {
    const flags = parse('--lmcache --num-gpu-blocks 1000 --max-model-len 8000 --lmcache-api coordinator');
    assert.ok(flags.kind === 'workers');
    assert.deepEqual(flags.lmcache, { port: 9000, api: 'coordinator', adapters: [] });
    assert.equal(flags.workers[0]?.model?.cpuBlocks, 4000);
    const set = parse('--lmcache --cpu-offload-blocks 7 --lmcache-fault slow:30');
    assert.ok(set.kind === 'workers');
    assert.equal(set.workers[0]?.model?.cpuBlocks, 7);
    assert.deepEqual(set.lmcache?.fault, { kind: 'slow', delayMs: 30 });
  });

  it('are refused where they mean nothing', () => {
    for (const text of ['--lmcache-port 1', '--lmcache --lmcache-api g1', '--lmcache --lmcache-fault late'])
      assert.equal(parse(text).kind, 'error', text);
    for (const text of ['slow', 'hang:3', '', 'slow:x']) assert.equal(parseLmcacheFault(text), undefined);
  });
});
