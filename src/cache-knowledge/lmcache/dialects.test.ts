/** What the real controllers answer (LMCache 0.5.6, see the data), and what others might. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { inOneGo } from '../../base/in-pieces.ts';
import type { ControllerCall, ControllerDialect } from './controller.ts';
import { controllerDialect, LIST_WORKERS, readWorkers } from './controller-dialect.ts';
import {
  COUNT_KEYS,
  CoordinatorDialect,
  LIST_INSTANCES,
  readInstances,
  readKeyCounts,
} from './coordinator-dialect.ts';
import { withTokenList } from './token-list.ts';

interface Exchange {
  readonly note: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly body?: Readonly<Record<string, unknown>>;
  };
  readonly status: number;
  readonly body: unknown;
}

const DATA = new URL('../../../test/data/lmcache-exchanges.json', import.meta.url);
const { exchanges } = JSON.parse(readFileSync(DATA, 'utf8')) as { readonly exchanges: readonly Exchange[] };

/** All of it at once. */
const holdingsOf = (dialect: ControllerDialect, answer: unknown, tokens: number) =>
  inOneGo(dialect.holdings(answer, tokens));

function exchange(note: string): Exchange {
  const found = exchanges.find((one) => one.note.includes(note));
  assert.ok(found, note);
  return found;
}

const upTo = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, index) => index + 1);
const prompt = (count: number) => ({ ids: upTo(count), model: 'm', salt: '' });

/** Whether our call is the one that was answered so. */
function assertAsked(call: ControllerCall, { request }: Exchange): void {
  assert.equal(call.method, request.method);
  assert.equal(call.path, request.path);
  if (!request.body) {
    assert.equal(call.body, undefined);
    return;
  }
  const sent = JSON.parse(call.body?.toString() ?? '') as Record<string, unknown>;
  const { tokens, token_ids: ids = tokens, ...rest } = sent;
  const { n_tokens: count, first_token: first, ...expected } = request.body;
  assert.ok(Array.isArray(ids));
  assert.deepEqual([ids.length, ids[0]], [count, first]);
  assert.deepEqual({ cache_salt: '', ...expected }, { cache_salt: '', ...rest });
}

describe('the controller', () => {
  it('is asked as it was, and what it says is read: by instance the end of the last chunk it is noted for', () => {
    const long = exchange('inst-b has all 4');
    assertAsked(controllerDialect.lookup(prompt(1024)), long);
    assert.deepEqual(holdingsOf(controllerDialect, long.body, 1024), {
      entries: [
        { instance: 'inst-a', tokens: 512, tier: 'cpu' },
        { instance: 'inst-b', tokens: 1024, tier: 'cpu' },
      ],
      unread: 0,
    });
    const short = exchange('controller: less than a chunk');
    assert.deepEqual(holdingsOf(controllerDialect, short.body, 255), { entries: [], unread: 0 });
  });

  it('lists its instances, one worker for each rank', () => {
    const list = exchange('controller: two instances');
    assertAsked(LIST_WORKERS, list);
    assert.deepEqual(inOneGo(readWorkers(list.body))?.entries, [
      { id: 'inst-a', hosts: ['10.0.0.1'], chunks: 2 },
      { id: 'inst-b', hosts: ['10.0.0.2'], chunks: 4 },
    ]);
  });

  it('may say nonsense, which is left out and counted', () => {
    const layout = {
      fine: ['LocalDiskBackend', 512],
      beyond: ['LocalCPUBackend', 1025],
      negative: ['LocalCPUBackend', -256],
      none: ['LocalCPUBackend', 0],
      huge: ['LocalCPUBackend', 1e300],
      text: ['LocalCPUBackend', '512'],
      flat: 512,
      nothing: null,
    };
    assert.deepEqual(holdingsOf(controllerDialect, { layout_info: layout }, 1024), {
      entries: [{ instance: 'fine', tokens: 512, tier: 'disk' }],
      unread: 6,
    });
    for (const answer of [undefined, null, [], {}, { layout_info: [] }, { layout_info: null }, 'x'])
      assert.equal(holdingsOf(controllerDialect, answer, 1024), undefined);
    for (const answer of [undefined, {}, { workers: {} }])
      assert.equal(inOneGo(readWorkers(answer)), undefined);
    assert.deepEqual(
      inOneGo(readWorkers({ workers: [null, { instance_id: 7 }, { instance_id: 'x', key_count: -1 }] })),
      {
        entries: [{ id: 'x', hosts: [], chunks: undefined }],
        unread: 2,
      },
    );
  });
});

describe('the coordinator', () => {
  const dialect = new CoordinatorDialect({ chunkSize: 256, worldSize: 2 });

  it('is asked as it was: an instance holds as many leading chunks as it has all ranks of', () => {
    const looked = exchange('mp-a has 2 chunks on both ranks');
    assertAsked(dialect.lookup(prompt(1024)), looked);
    assert.deepEqual(holdingsOf(dialect, looked.body, 1024), {
      entries: [
        { instance: 'mp-a', tokens: 512, tier: 'cpu' },
        { instance: 'mp-b', tokens: 1024, tier: 'cpu' },
      ],
      unread: 0,
    });
    assert.deepEqual(holdingsOf(dialect, exchange('that nobody has').body, 1024), { entries: [], unread: 0 });
  });

  it('has places that all share, which tell nobody from the others', () => {
    const looked = exchange('all chunks in a tier that all share');
    assert.deepEqual(holdingsOf(dialect, looked.body, 600)?.entries, [
      { instance: 'mp-a', tokens: 512, tier: 'cpu' },
      { instance: 'mp-b', tokens: 512, tier: 'cpu' },
    ]);
  });

  it('lists its instances and counts what each stores', () => {
    const list = exchange('coordinator: two instances');
    assertAsked(LIST_INSTANCES, list);
    assert.deepEqual(inOneGo(readInstances(list.body))?.entries, [
      { id: 'mp-a', hosts: ['10.0.0.1'], chunks: undefined },
      { id: 'mp-b', hosts: ['10.0.0.2'], chunks: undefined },
    ]);
    const stats = exchange('how much whom');
    assertAsked(COUNT_KEYS, stats);
    assert.deepEqual(
      [...(inOneGo(readKeyCounts(stats.body)) ?? [])],
      [
        ['mp-a', 5],
        ['mp-b', 8],
      ],
    );
  });

  it('may say more chunks than the prompt has, or none that can be read', () => {
    const placed = (...names: string[]) => ({
      placements: names.map((name) => ({ instance_id: name, tier: 'l2' })),
    });
    const answer = { results: [placed('a', 'a'), placed('a'), placed('a'), placed('a', 'b'), placed('a')] };
    assert.deepEqual(holdingsOf(dialect, answer, 512), {
      entries: [{ instance: 'a', tokens: 512, tier: 'disk' }],
      unread: 1,
    });
    const broken = { results: [{ placements: [null, { instance_id: '' }] }, {}, null] };
    assert.deepEqual(holdingsOf(dialect, broken, 1024), { entries: [], unread: 4 });
    for (const nothing of [undefined, {}, { results: {} }])
      assert.equal(holdingsOf(dialect, nothing, 9), undefined);
    assert.equal(inOneGo(readInstances({ instances: 'x' })), undefined);
    assert.equal(inOneGo(readKeyCounts({})), undefined);
  });
});

describe('a list of tokens', () => {
  it('is the JSON of the ids, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint32Array({ maxLength: 40 }), (ids) => {
        const text = withTokenList('{"ü":', ids, '}').toString();
        assert.deepEqual(JSON.parse(text), { ü: [...ids] });
      }),
    );
    assert.equal(
      withTokenList('', Uint32Array.of(0, 9, 10, 99, 100, 4_294_967_295), '').toString(),
      '[0,9,10,99,100,4294967295]',
    );
  });
});

describe('whatever is answered', () => {
  it('is read without a throw, and no instance holds more than the prompt', () => {
    const dialects = [controllerDialect, new CoordinatorDialect({ chunkSize: 4, worldSize: 1 })];
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom<unknown>(null, true, -1, 3, 8, 1e300, NaN, '', 'l2', 'a'),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            'layout_info',
            'results',
            'placements',
            'instance_id',
            'tier',
            'workers',
            'instances',
            'a',
          ),
          tie('any'),
        ),
      ),
    })).any;
    fc.assert(
      fc.property(value, (answer) => {
        for (const dialect of dialects)
          for (const { tokens } of holdingsOf(dialect, answer, 8)?.entries ?? [])
            assert.ok(tokens > 0 && tokens <= 8);
        inOneGo(readWorkers(answer));
        inOneGo(readInstances(answer));
        inOneGo(readKeyCounts(answer));
      }),
    );
  });
});
