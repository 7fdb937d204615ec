/** What a provider outside of the fleet is sent, and what becomes of its answers, however odd they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, post, readBody, streamChat } from '../support/chat.ts';
import { outside } from '../support/external.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startProvider, type Instead, type Provider } from '../support/provider.ts';

type Rules = NonNullable<RouterOptions['modelRules']>;

const OUT: Rules = [{ match: 'gpt-*', external: 'outside', when: 'always' }];
const GPT = { model: 'gpt-4o-mini' };
/** Few and quick, so that a test that fails to go on does so soon. */
const RETRY = { maxRetries: 3, initialBackoffMs: 1, maxBackoffMs: 20 };

/** A fleet with this provider, to which chats of gpt-* go. */
function withProvider(
  provider: Provider,
  external: Parameters<typeof outside>[1] = {},
  router: RouterOptions = {},
): Promise<Fleet> {
  const { workers = [], ...more } = router;
  return startFleet({
    router: { modelRules: OUT, retry: RETRY, ...more, workers: [outside(provider, external), ...workers] },
  });
}

const says =
  (
    status: number,
    headers: Readonly<Record<string, string>> = {},
    body = '{"error":{"message":"no"}}',
  ): Instead =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
    return true;
  };

test('what only vLLM knows is left out, and a header, the record and a metric say what', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  const response = await chat(fleet, {
    ...GPT,
    top_k: 4,
    chat_template_kwargs: { enable_thinking: false },
    seed: 7,
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-external-removed'), 'top_k,chat_template_kwargs');
  assert.deepEqual(Object.keys(provider.last.json), ['model', 'messages', 'max_tokens', 'seed']);
  assert.deepEqual((await fleet.decision()).external?.removed, ['top_k', 'chat_template_kwargs']);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_external_fields_removed_total', { backend: 'outside' }), 1);
});

test('unsupported_fields: reject refuses the request instead, and names them', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider, { unsupportedFields: 'reject' });
  const response = await chat(fleet, { ...GPT, top_k: 4, min_p: 1 });
  assert.equal(response.status, 400);
  assert.match(await response.text(), /external_field_refused.*|.*does not know top_k, min_p/);
  assert.equal(provider.asked.length, 0);
  assert.equal((await chat(fleet, GPT)).status, 200);
});

test('nothing of the client goes out but its words: no credentials, addresses, or headers of the router', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider, {
    organization: 'org-1',
    project: 'proj-1',
    headers: { 'X-Title': 'fleet' },
    forwardHeaders: ['X-Trace'],
  });
  const response = await chat(fleet, GPT, {
    headers: {
      ...{
        authorization: 'Bearer sk-client',
        cookie: 'a=b',
        'x-api-key': 'k',
        'x-trace': 't',
        'x-session-id': 's',
      },
      ...{ 'x-forwarded-for': '10.1.2.3', 'x-data-parallel-rank': '1', 'openai-organization': 'org-client' },
      ...{ 'x-max-cost': '5', 'x-request-id': 'mine-1', 'user-agent': 'me' },
    },
  });
  assert.equal(response.status, 200, await response.text());
  assert.equal(response.headers.get('x-request-id'), 'mine-1');
  const { headers } = provider.last;
  assert.deepEqual(Object.keys(headers).toSorted(), [
    ...['accept', 'accept-encoding', 'authorization', 'connection', 'content-length', 'content-type', 'host'],
    ...['openai-organization', 'openai-project', 'x-client-request-id', 'x-title', 'x-trace'],
  ]);
  assert.equal(headers.authorization, 'Bearer sk-provider');
  assert.equal(headers['openai-organization'], 'org-1');
  assert.equal(headers['x-client-request-id'], 'mine-1');
});

test("what the answer says of the operator's account stays here", async () => {
  await using provider = await startProvider();
  provider.headers = {
    'set-cookie': 'a=b',
    'openai-organization': 'org-1',
    'x-ratelimit-remaining-requests': '5',
  };
  await using fleet = await withProvider(provider);
  const { headers } = await chat(fleet, GPT);
  for (const name of Object.keys(provider.headers)) assert.equal(headers.get(name), null, name);
});

test('429 is no failure: the provider rests for as long as it says, and whoever is next takes over at once', async () => {
  await using provider = await startProvider();
  await using other = await startProvider();
  await using fleet = await withProvider(
    provider,
    {},
    {
      workers: [outside(other, { name: 'other' })],
      modelRules: [{ match: 'gpt-*', external: ['outside', 'other'], when: 'always' }],
    },
  );
  provider.instead = says(429, { 'retry-after': '30' });
  const first = await chat(fleet, GPT);
  assert.equal(first.status, 200);
  assert.equal(first.headers.get('x-vllm-router-external'), 'other');
  const record = await fleet.decision();
  assert.deepEqual(
    record.attempts.map(({ worker, status }) => [worker, status]),
    [
      [provider.url, 429],
      [other.url, 200],
    ],
  );
  assert.equal((await chat(fleet, GPT)).headers.get('x-vllm-router-external'), 'other');
  assert.equal(provider.asked.length, 1);
  const candidates = (await fleet.decision()).candidates ?? [];
  assert.equal(candidates.find(({ worker }) => worker === provider.url)?.state, 'cooling_down');
  const worker = fleet.app.runtime.registry.get(provider.url);
  assert.equal(worker?.breaker.isClosed, true);
  const metrics = await scrape(fleet);
  assert.equal(
    metrics.value('vllm_router_external_cool_downs_total', { backend: 'outside', status: '429' }),
    1,
  );
});

test('429 of the only one there is goes to the client, with the time that it names; then it is not asked for that long', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  provider.instead = says(429, { 'retry-after': '30' });
  const limited = await chat(fleet, GPT);
  assert.equal(limited.status, 429);
  assert.equal(limited.headers.get('retry-after'), '30');
  assert.equal(limited.headers.get('x-vllm-router-external'), 'outside');
  const resting = await chat(fleet, GPT);
  assert.equal(resting.status, 503);
  assert.match(resting.headers.get('retry-after') ?? '', /^(29|30)$/);
  assert.match(await resting.text(), /cooling down/);
  assert.equal(provider.asked.length, 1);
});

test('limits that are used up rest the provider before it has to refuse', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  provider.headers = { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '1m0s' };
  assert.equal((await chat(fleet, GPT)).status, 200);
  assert.equal((await chat(fleet, GPT)).status, 503);
  assert.equal(provider.asked.length, 1);
});

test("a key that is refused is the router's trouble, not the client's: 502, and a rest", async () => {
  await using provider = await startProvider({ key: 'sk-another' });
  await using fleet = await withProvider(provider);
  const response = await chat(fleet, GPT);
  assert.equal(response.status, 502);
  assert.match(await response.text(), /external_refused/);
  assert.equal(fleet.app.runtime.registry.get(provider.url)?.breaker.isClosed, true);
  assert.equal((await chat(fleet, GPT)).status, 503);
  assert.equal(provider.asked.length, 1);
});

test('a redirect is not followed, by nobody', async () => {
  await using provider = await startProvider();
  await using elsewhere = await startProvider();
  await using fleet = await withProvider(provider);
  provider.instead = says(307, { location: `${elsewhere.url}/chat/completions` });
  const response = await chat(fleet, GPT, { redirect: 'manual' });
  assert.equal(response.status, 502);
  assert.equal(response.headers.get('location'), null);
  assert.match(await response.text(), /redirect/);
  assert.equal(elsewhere.asked.length, 0);
});

test('a provider that fails is tried again and trips its breaker as any worker does, then the fleet has its turn back', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(
    provider,
    { models: { 'sim-model': 'gpt-4o-mini' } },
    {
      modelRules: [{ match: 'sim-model', external: 'outside', when: 'saturated', saturatedAt: 1 }],
      circuitBreaker: { failureThreshold: 1 },
    },
  );
  const { ledger, registry } = fleet.app.runtime;
  const busy = registry.fleet.map(({ slot }) =>
    ledger.acquire(slot, { prefillTokens: 0, kvTokens: 0, stream: true }),
  );
  provider.instead = says(503);
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-external'), null);
  const record = await fleet.decision();
  assert.deepEqual(record.attempts.map(({ status }) => status).slice(0, 2), [503, 200]);
  assert.equal(record.external, undefined);
  assert.equal(registry.get(provider.url)?.breaker.isClosed, false);
  for (const lease of busy) lease.release();
});

for (const [what, instead] of [
  [
    'garbage in the place of HTTP',
    (response) => {
      response.socket?.end('garbage\r\n\r\n');
      return true;
    },
  ],
  [
    'a connection that is closed at once',
    (response) => {
      response.socket?.destroy();
      return true;
    },
  ],
] as const satisfies readonly (readonly [string, Instead])[]) {
  test(`${what} is a broken worker, as everywhere`, async () => {
    await using provider = await startProvider();
    await using fleet = await withProvider(provider);
    provider.instead = instead;
    const response = await chat(fleet, GPT);
    assert.equal(response.status, 502);
    const text = await response.text();
    assert.ok(!text.includes(String(provider.port)), 'no address');
    assert.match(text, /external backend/);
  });
}

test('a stream that breaks off ends with an error, and counts against the provider', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider, {}, { circuitBreaker: { failureThreshold: 1 } });
  provider.instead = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n', () => response.socket?.destroy());
    return true;
  };
  const { text } = await readBody(await streamChat(fleet, GPT));
  assert.match(text, /"content":"a"/);
  assert.match(text, /"error"/);
  assert.equal((await fleet.decision()).outcome, 'worker_broken');
  assert.equal(fleet.app.runtime.registry.get(provider.url)?.breaker.isClosed, false);
});

test('a stream of garbage passes as it is, and nothing is believed of it', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  const garbage = 'data: {"choices":[[[\n\n\u0000data: nothing\n\ndata: [DONE]\n\n';
  provider.instead = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(garbage);
    return true;
  };
  const { text, whole } = await readBody(await streamChat(fleet, GPT));
  assert.ok(whole);
  assert.equal(text, garbage);
});

test('an answer of 10 MB passes through', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  const large = JSON.stringify({ object: 'chat.completion', choices: [], pad: 'x'.repeat(10_000_000) });
  provider.instead = says(200, {}, large);
  const response = await chat(fleet, GPT);
  assert.equal((await response.text()).length, large.length);
});

test('a provider that hangs is given up after the time to the first token', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(
    provider,
    {},
    { firstTokenTimeoutSecs: 0.2, retry: { maxRetries: 1 } },
  );
  provider.instead = () => true;
  const response = await chat(fleet, GPT);
  assert.equal(response.status, 504);
});

test('a client that leaves ends the request over there', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  const gone = Promise.withResolvers<undefined>();
  const came = Promise.withResolvers<undefined>();
  provider.instead = (response) => {
    response.on('close', () => {
      gone.resolve(undefined);
    });
    came.resolve(undefined);
    return true;
  };
  const leaving = new AbortController();
  const request = chat(fleet, GPT, { signal: leaving.signal }).catch(() => undefined);
  await came.promise;
  leaving.abort();
  await Promise.all([request, gone.promise]);
});

test('max_concurrent keeps further requests in the fleet', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider, { maxConcurrent: 1 });
  const held = Promise.withResolvers<() => void>();
  provider.instead = (response) => {
    held.resolve(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
    return true;
  };
  const first = chat(fleet, GPT);
  const release = await held.promise;
  const second = await chat(fleet, GPT);
  assert.equal(second.status, 503);
  assert.match(await second.text(), /1 full/);
  release();
  assert.equal((await first).status, 200);
});

test('x-max-cost and x-worker-priority choose in a chain of providers as among workers', async () => {
  await using dear = await startProvider();
  await using cheap = await startProvider();
  await using fleet = await startFleet({
    router: {
      workers: [
        outside(dear, { name: 'dear' }, { cost: 9, priority: 80 }),
        outside(cheap, { name: 'cheap' }, { cost: 2, priority: 20 }),
      ],
      modelRules: [{ match: 'gpt-*', external: ['dear', 'cheap'], when: 'always' }],
    },
  });
  const from = async (headers: Readonly<Record<string, string>>): Promise<string | null> =>
    (await chat(fleet, GPT, { headers })).headers.get('x-vllm-router-external');
  assert.equal(await from({}), 'dear');
  assert.equal(await from({ 'x-max-cost': '3' }), 'cheap');
  assert.equal(await from({ 'x-worker-priority': '50' }), 'dear');
  const none = await chat(fleet, GPT, { headers: { 'x-max-cost': '1' } });
  assert.equal(none.status, 503);
  assert.match(await none.text(), /no_worker_matches/);
});

test('Azure: the deployment stands in the path, the version in the query, the key in its header', async () => {
  await using provider = await startProvider({ base: '/openai', keyHeader: 'api-key' });
  await using fleet = await withProvider(provider, {
    keyHeader: 'api-key',
    apiVersion: '2024-10-21',
    deployments: true,
    models: { 'gpt-4o-mini': 'my deployment' },
  });
  assert.equal((await chat(fleet, GPT)).status, 200);
  assert.equal(
    provider.last.url,
    '/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21',
  );
  assert.equal(provider.last.headers['api-key'], 'sk-provider');
  assert.equal(provider.last.headers.authorization, undefined);
});

test('completions, embeddings, responses and audio go out as chats do', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider, { modelPrefix: 'acme/' });
  for (const [path, fields] of [
    ['/v1/completions', { prompt: 'hi', echo: true, top_k: 1 }],
    ['/v1/embeddings', { input: ['hi'], truncate_prompt_tokens: 5 }],
    ['/v1/responses', { input: 'hi', cache_salt: 'x' }],
  ] as const) {
    const response = await post(fleet, path, { ...GPT, ...fields });
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get('x-vllm-router-external'), 'outside', path);
    assert.equal(provider.last.json['model'], 'acme/gpt-4o-mini', path);
    assert.ok(Number((await fleet.decision()).prompt_tokens) > 0, path);
  }
  const form = new FormData();
  form.set('model', 'gpt-4o-transcribe');
  form.set('file', new Blob(['RIFF']), 'a.wav');
  const said = await fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body: form });
  assert.equal(said.status, 200);
  assert.match(provider.last.body.toString(), /acme\/gpt-4o-transcribe/);
});

test('a stored response is read where it was made, by whoever may go there', async () => {
  await using provider = await startProvider();
  await using fleet = await withProvider(provider);
  const made = await post(fleet, '/v1/responses', { ...GPT, input: 'hi', store: true });
  assert.equal(made.status, 200);
  await made.text();
  const read = await fetch(`${fleet.url}/v1/responses/resp_outside1`);
  assert.equal(read.status, 200);
  assert.equal(read.headers.get('x-vllm-router-external'), 'outside');
  assert.equal(provider.last.url, '/api/v1/responses/resp_outside1');
  const kept = await fetch(`${fleet.url}/v1/responses/resp_outside1`, {
    headers: { 'x-vllm-router-external': 'never' },
  });
  assert.equal(kept.status, 503);
});

test('what a provider is known by is known of it, whatever names objects have by themselves', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    router: {
      workers: [outside(provider, { models: ['a'] })],
      modelRules: [{ match: '*', external: 'outside', when: 'always' }],
    },
  });
  for (const model of ['constructor', '__proto__', 'toString'])
    assert.equal((await chat(fleet, { model })).status, 503, model);
  assert.equal(provider.asked.length, 0);
});
