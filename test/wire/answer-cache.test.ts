/** What has been answered once is answered again without a worker, in the form that is asked for. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReloadOutcome } from '../../src/admin/reload-report.ts';
import { configFromOptions } from '../../src/config/load/load.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { adminOf } from '../support/admin.ts';
import { chat, CHAT, pieces, post, streamChat } from '../support/chat.ts';
import { startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

const GREEDY = { temperature: 0 };

function withCache(cache: object = {}, more: FleetOptions = {}): Promise<Fleet> {
  return startFleet({ ...more, router: { cache: { backend: 'memory', ...cache }, ...more.router } });
}

/** How often workers were asked for an answer. */
function asked({ workers }: Fleet, path = '/v1/chat/completions'): number {
  return workers.flatMap(({ seen }) => seen).filter(({ url }) => url === path).length;
}

const statusOf = (response: Response): string | null => response.headers.get('x-vllm-router-cache-status');

interface Chunk {
  readonly id: string;
  readonly model: string;
  readonly choices: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

async function chunks(response: Response): Promise<Chunk[]> {
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  assert.equal(lines.pop(), 'data: [DONE]');
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as Chunk);
}

function textOf(events: readonly Chunk[]): string {
  return events.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).join('');
}

interface Answer {
  readonly id: string;
  readonly model: string;
  readonly choices: readonly {
    readonly message: { readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly usage: { readonly completion_tokens: number };
}

describe('a question that was answered before', () => {
  it('gets the same bytes, and no worker hears of it', async () => {
    await using fleet = await withCache();
    const first = await chat(fleet, GREEDY);
    assert.equal(statusOf(first), 'miss');
    const body = await first.text();
    const again = await chat(fleet, { ...GREEDY, user: 'somebody else' });
    assert.equal(await again.text(), body);
    assert.deepEqual([again.status, statusOf(again)], [200, 'exact-hit']);
    assert.equal(again.headers.get('content-type'), first.headers.get('content-type'));
    assert.equal(again.headers.get('age'), '0');
    assert.equal(again.headers.get('x-vllm-router-method'), 'cache-hit');
    assert.equal(again.headers.get('x-vllm-router-worker'), null);
    assert.equal(asked(fleet), 1);
    const decision = await fleet.decision(({ cache_status: status }) => status === 'exact-hit');
    assert.deepEqual([decision.method, decision.attempts, decision.completion_tokens], ['cache-hit', [], 4]);
    const metrics = await fleet.metrics();
    assert.match(metrics, /^vllm_router_cache_hits_total 1$/m);
    assert.match(metrics, /^vllm_router_cache_misses_total 1$/m);
    assert.match(metrics, /^vllm_router_requests_total\{route="\/v1\/chat\/completions"\} 1$/m);
  });

  it('gets it as a stream where it asks for one', async () => {
    await using fleet = await withCache();
    const answer = (await (await chat(fleet, GREEDY)).json()) as Answer;
    const response = await streamChat(fleet, GREEDY);
    assert.equal(statusOf(response), 'exact-hit');
    const events = await chunks(response);
    assert.equal(textOf(events), answer.choices[0]?.message.content);
    assert.ok(events.every(({ id, usage }) => id === answer.id && usage === undefined));
    const withUsage = await chunks(
      await streamChat(fleet, { ...GREEDY, stream_options: { include_usage: true } }),
    );
    assert.deepEqual(withUsage.at(-1)?.usage, answer.usage);
    assert.equal(asked(fleet), 1);
  });

  it('gets in one piece what came as a stream, with a usage that the first one did not see', async () => {
    await using fleet = await withCache();
    const first = await streamChat(fleet, GREEDY);
    const events = await chunks(first);
    assert.equal(statusOf(first), 'miss');
    assert.ok(events.every(({ usage }) => usage === undefined || usage === null));
    const response = await chat(fleet, GREEDY);
    assert.equal(statusOf(response), 'exact-hit');
    const answer = (await response.json()) as Answer;
    assert.equal(answer.choices[0]?.message.content, textOf(events));
    assert.equal(answer.usage.completion_tokens, 4);
    assert.equal(textOf(await chunks(await streamChat(fleet, GREEDY))), textOf(events));
    assert.equal(asked(fleet), 1);
  });

  it('gets completions, embeddings, ranks and scores as well', async () => {
    await using fleet = await withCache();
    const model = CHAT.model;
    for (const [path, body] of [
      ['/v1/completions', { prompt: 'Once', max_tokens: 3, temperature: 0 }],
      ['/v1/completions', { prompt: 'Once', max_tokens: 3, seed: 7, temperature: 1 }],
      ['/v1/embeddings', { input: 'Once' }],
      ['/v1/rerank', { query: 'a', documents: ['b', 'c'] }],
      ['/v1/score', { text_1: 'a', text_2: 'b' }],
    ] as const) {
      const first = await post(fleet, path, { model, ...body });
      const text = await first.text();
      assert.deepEqual([first.status, statusOf(first)], [200, 'miss'], path);
      const again = await post(fleet, path, { ...body, model });
      assert.equal(statusOf(again), 'exact-hit', path);
      assert.equal(await again.text(), text);
    }
  });

  it('is the same question however it is spelt, and another one with any other number', async () => {
    await using fleet = await withCache();
    const send = (body: string): Promise<Response> =>
      fetch(`${fleet.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    const messages = '[{"role":"user","content":"Hi"}]';
    await (await send(`{"model":"sim-model","max_tokens":2,"temperature":0,"messages":${messages}}`)).text();
    const spelt = `{ "messages": [ { "content": "\\u0048i", "role": "user" } ], "temperature":0, "max_tokens":2,"model":"sim-model" }`;
    assert.equal(statusOf(await send(spelt)), 'exact-hit');
    assert.equal(statusOf(await send(spelt.replace('"max_tokens":2', '"max_tokens":3'))), 'miss');
    assert.equal(
      statusOf(await send(spelt.replace('"temperature":0', '"temperature":0,"cache_salt":"s"'))),
      'miss',
    );
  });

  it('is shown the name of the model that it asked for', async () => {
    await using fleet = await withCache(
      {},
      { router: { modelRules: [{ match: 'alias', rewrite: CHAT.model }], responseModel: 'requested' } },
    );
    await (await chat(fleet, GREEDY)).text();
    const whole = await chat(fleet, { ...GREEDY, model: 'alias' });
    assert.equal(statusOf(whole), 'exact-hit');
    assert.equal(((await whole.json()) as Answer).model, 'alias');
    const events = await chunks(await streamChat(fleet, { ...GREEDY, model: 'alias' }));
    assert.ok(events.every(({ model }) => model === 'alias'));
  });
});

describe('nothing is taken from the cache', () => {
  const bypassed: readonly (readonly [string, object, Record<string, string>?])[] = [
    ['sampled', {}],
    ['sampled', { temperature: 0.1 }],
    ['sampled', { seed: -1 }],
    ['client', GREEDY, { 'cache-control': 'no-store' }],
    ['client', GREEDY, { 'x-vllm-router-cache': 'off' }],
    ['not_repeatable', { ...GREEDY, stream_options: { continuous_usage_stats: true }, stream: true }],
  ];
  for (const [why, fields, headers = {}] of bypassed) {
    it(`by a request with ${JSON.stringify({ ...fields, ...headers })}: ${why}`, async () => {
      await using fleet = await withCache();
      for (let turn = 1; turn <= 2; turn += 1) {
        const response = await chat(fleet, fields, { headers });
        assert.deepEqual([response.status, statusOf(response)], [200, 'bypass']);
        await response.text();
        assert.equal(asked(fleet), turn);
      }
      assert.equal((await fleet.decision()).cache_bypass, why);
    });
  }

  it('with no-cache, but what comes is kept; and nothing older than max-age', async () => {
    await using fleet = await withCache();
    const noCache = { headers: { 'cache-control': 'no-cache' } };
    await (await chat(fleet, GREEDY, noCache)).text();
    assert.equal(statusOf(await chat(fleet, GREEDY, noCache)), 'miss');
    assert.equal(
      statusOf(await chat(fleet, GREEDY, { headers: { 'cache-control': 'max-age=60' } })),
      'exact-hit',
    );
    assert.equal(asked(fleet), 2);
  });

  it('unless configured, sampled or not', async () => {
    await using off = await startFleet();
    assert.equal(statusOf(await chat(off, GREEDY)), null);
    await using sampled = await withCache({ sampled: true });
    await (await chat(sampled)).text();
    assert.equal(statusOf(await chat(sampled)), 'exact-hit');
  });

  it('behind its time', async () => {
    await using fleet = await withCache({ ttlSecs: 0.05 });
    await (await chat(fleet, GREEDY)).text();
    let status = statusOf(await chat(fleet, GREEDY));
    const until = Date.now() + 5000;
    while (status !== 'miss' && Date.now() < until) status = statusOf(await chat(fleet, GREEDY));
    assert.equal(status, 'miss');
  });
});

describe('nothing is kept', () => {
  it('of an answer that is an error, breaks off, is too long or must not be stored', async () => {
    for (const [faults, more] of [
      [['status:code=400'], {}],
      [['error_body'], {}],
      [['garbage:at=body'], {}],
      [['reset:after=2'], { stream: true }],
      [[], { n: 9 }],
    ] as const) {
      await using fleet = await withCache({ maxEntryBytes: 1024 }, { workers: [{ faults: [...faults] }] });
      for (let turn = 0; turn < 2; turn += 1) {
        const response = await chat(fleet, { ...GREEDY, ...more });
        assert.equal(statusOf(response), 'miss', JSON.stringify(faults));
        await response.text().catch(() => undefined);
      }
    }
  });
});

describe('tenants', () => {
  const router = {
    apiKeys: [
      { name: 'one', key: 'key-one', tokensPerMinute: 1000 },
      { name: 'two', key: 'key-two' },
    ],
  };
  const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

  it('do not get what others have asked, unless that is wanted', async () => {
    for (const [sharedBetweenTenants, expected] of [
      [false, 'miss'],
      [true, 'exact-hit'],
    ] as const) {
      await using fleet = await withCache({ sharedBetweenTenants }, { router });
      await (await chat(fleet, GREEDY, as('key-one'))).text();
      assert.equal(statusOf(await chat(fleet, GREEDY, as('key-two'))), expected);
      assert.equal(statusOf(await chat(fleet, GREEDY, as('key-one'))), 'exact-hit');
    }
  });

  it('pay for it what the operator says', async () => {
    for (const [charge, expected] of [
      [0, 0],
      [0.5, 0.5],
    ] as const) {
      await using fleet = await withCache({ charge }, { router });
      await (await chat(fleet, GREEDY, as('key-one'))).text();
      const paid = (await fleet.decision()).charged_tokens ?? 0;
      await (await chat(fleet, GREEDY, as('key-one'))).text();
      const hit = await fleet.decision(({ method }) => method === 'cache-hit');
      assert.equal(hit.charged_tokens, Math.round(paid * expected));
    }
  });

  it('whose keys only the workers know do not get what others have asked', async () => {
    await using fleet = await withCache();
    await (await chat(fleet, GREEDY, as('key-one'))).text();
    assert.equal(statusOf(await chat(fleet, GREEDY, as('wrong'))), 'miss');
    assert.equal(statusOf(await chat(fleet, GREEDY)), 'miss');
    for (const name of ['x-api-key', 'api-key', 'cookie'])
      assert.equal(statusOf(await chat(fleet, GREEDY, { headers: { [name]: 'a=b' } })), 'miss', name);
    assert.equal(statusOf(await chat(fleet, GREEDY, as('key-one'))), 'exact-hit');
  });
});

describe('requests for one answer at the same time', () => {
  it('ask one worker once', async () => {
    await using fleet = await withCache(
      {},
      { workers: [{ timeScale: 1 }], oneThread: 'each thread has its own' },
    );
    const responses = await Promise.all(Array.from({ length: 8 }, () => chat(fleet, GREEDY)));
    const bodies = await Promise.all(responses.map((response) => response.text()));
    assert.equal(new Set(bodies).size, 1);
    assert.equal(asked(fleet), 1);
    const shared = await fleet.decision(({ cache_shared: isShared }) => isShared === true);
    assert.equal(shared.method, 'cache-hit');
  });

  it('go on when the one who asks leaves', async () => {
    await using fleet = await withCache(
      {},
      { workers: [{ faults: ['hang:times=1'] }], oneThread: 'each thread has its own' },
    );
    const leaves = new AbortController();
    const first = chat(fleet, GREEDY, { signal: leaves.signal });
    const waits = fleet.app.runtime.answerCache?.flights;
    assert.ok(waits);
    while (asked(fleet) === 0) await new Promise(setImmediate);
    const others = [chat(fleet, GREEDY), chat(fleet, GREEDY)];
    while (fleet.app.runtime.bodyBytes.held < 3 * 100) await new Promise(setImmediate);
    leaves.abort();
    await assert.rejects(first);
    for (const other of others) assert.equal((await other).status, 200);
    assert.ok(asked(fleet) <= 3);
    assert.equal(waits.size, 0);
  });

  it('go on by themselves when it is answered with an error', async () => {
    await using fleet = await withCache(
      {},
      {
        workers: [{ faults: ['status:code=400,times=1'], timeScale: 1 }],
        oneThread: 'each thread has its own',
      },
    );
    const responses = await Promise.all([chat(fleet, GREEDY), chat(fleet, GREEDY)]);
    assert.deepEqual(responses.map(({ status }) => status).sort(), [200, 400]);
    for (const response of responses) await response.text();
  });

  it('do not wait for a stream, and streams wait for nobody', async () => {
    await using fleet = await withCache({}, { workers: [{ timeScale: 1 }] });
    const [stream, whole] = await Promise.all([streamChat(fleet, GREEDY), chat(fleet, GREEDY)]);
    for await (const piece of pieces(stream)) assert.ok(piece);
    await whole.text();
    assert.equal(asked(fleet), 2);
  });
});

it('an operator has answers forgotten: of a tenant, of a model, or all', async () => {
  const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });
  const apiKeys = ['one', 'two'].map((name) => ({ name, key: `key-${name}` }));
  await using fleet = await withCache({}, { router: { adminApiKey: 'root', apiKeys } });
  const flush = async (body: object): Promise<unknown> => {
    const answer = await adminOf(fleet, 'root')('POST', '/admin/cache/flush', body);
    return answer.status === 200 ? answer.body.flushed : answer.status;
  };
  const fill = async (): Promise<void> => {
    for (const key of ['key-one', 'key-two']) await (await chat(fleet, GREEDY, as(key))).text();
    const { body } = await adminOf(fleet, 'root')('GET', '/admin/stats');
    assert.deepEqual(body.cache, { backend: 'memory', exact_entries: 2, semantic_entries: 0 });
  };
  await fill();
  assert.equal(await flush({ tenant: 'one' }), 1);
  assert.equal(statusOf(await chat(fleet, GREEDY, as('key-two'))), 'exact-hit');
  await fill();
  assert.equal(await flush({ model: 'other' }), 0);
  assert.equal(await flush({ model: CHAT.model, tenant: 'two' }), 1);
  await fill();
  assert.equal(await flush({ model: CHAT.model }), 2);
  await fill();
  assert.equal(await flush({ all: true }), 2);
  for (const wrong of [{}, { all: false }, { all: true, model: 'm' }, { tenants: 'one' }])
    assert.equal(await flush(wrong), 400);
});

it('threads have one store, which hears of an answer a moment after its client', async () => {
  await using fleet = await withCache({}, { router: { threads: 2 } });
  const until = Date.now() + 10_000;
  let hits = 0;
  // Connections come to either thread.
  for (let turn = 0; hits < 20; turn += 1) {
    assert.ok(Date.now() < until, `${hits} hits in ${turn} turns`);
    const response = await chat(fleet, GREEDY, { headers: { connection: 'close' } });
    await response.text();
    hits = statusOf(response) === 'exact-hit' ? hits + 1 : 0;
  }
  assert.ok(asked(fleet) < 6, String(asked(fleet)));
});

it('an answer whose worker forbids to keep it is not kept', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.setHeader('cache-control', ['private', 'no-store']);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"id":"a","choices":[]}');
  });
  await using fleet = await withCache({}, { workers: [], extraWorkerUrls: [worker.url] });
  for (let turn = 0; turn < 2; turn += 1) {
    const response = await chat(fleet, GREEDY);
    assert.equal(statusOf(response), 'miss');
    await response.text();
  }
  assert.match(await fleet.metrics(), /^vllm_router_cache_stores_total\{result="no_store"\} 2$/m);
});

it('an answer that its engine broke off is not kept', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"id":"a","choices":[{"index":0,"message":{"content":"H"},"finish_reason":"abort"}]}');
  });
  await using fleet = await withCache({}, { workers: [], extraWorkerUrls: [worker.url] });
  for (let turn = 0; turn < 2; turn += 1) {
    const response = await chat(fleet, GREEDY);
    assert.equal(statusOf(response), 'miss');
    await response.text();
  }
});

it('what a worker says is not changed: neither its name of the model, nor a list of parts into no text', async () => {
  let content: unknown = 'Hi';
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
    response.end(JSON.stringify({ id: 'a', model: 'as-the-worker-has-it', choices }));
  });
  await using fleet = await withCache({}, { workers: [], extraWorkerUrls: [worker.url] });
  const first = await (await chat(fleet, GREEDY)).text();
  const again = await chat(fleet, GREEDY);
  assert.equal(statusOf(again), 'exact-hit');
  assert.equal(await again.text(), first);
  content = [{ type: 'text', text: 'Hi' }];
  await (await chat(fleet, { ...GREEDY, seed: 1 })).text();
  assert.equal(statusOf(await streamChat(fleet, { ...GREEDY, seed: 1 })), 'miss');
});

it('a name of a model that is no well-formed text is a name as any other', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await withCache({}, { workers: [], extraWorkerUrls: [worker.url] });
  const asked = async (model: string): Promise<string | null> =>
    statusOf(await chat(fleet, { ...GREEDY, model }));
  assert.deepEqual(
    [await asked('\ud800'), await asked('\ud801'), await asked('\ufffd'), await asked('\ud800')],
    ['miss', 'miss', 'miss', 'exact-hit'],
  );
  const flushed = await adminOf(fleet)('POST', '/admin/cache/flush', { model: '\ud800' });
  assert.equal(flushed.status, 200);
});

it('a reload turns it off and on, empty', async () => {
  await using fleet = await withCache(
    {},
    { onlyRegular: 'the reload names workers that serve whole requests' },
  );
  const reload = (router: RouterOptions): Promise<ReloadOutcome> =>
    fleet.app.reload({ who: 'test', dryRun: false }, configFromOptions({ ...router, ...served(fleet) }));
  await (await chat(fleet, GREEDY)).text();
  await reload({ cache: { ttlSecs: 90 } });
  assert.equal(statusOf(await chat(fleet, GREEDY)), 'exact-hit');
  await reload({});
  assert.equal(statusOf(await chat(fleet, GREEDY)), null);
  await reload({ cache: { ttlSecs: 90 } });
  assert.equal(statusOf(await chat(fleet, GREEDY)), 'miss');
});

/** What stays as it was at the start. */
function served({ all }: Fleet): RouterOptions {
  return { workerUrls: all.map(({ url }) => url), port: 0 };
}
