/** Which models a tenant may use, whatever the route; what it sees of others; whose stored responses it may read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fieldText, readForm } from '../../src/api/form-field.ts';
import { chat, CHAT, post } from '../support/chat.ts';
import type { Fleet } from '../support/fleet.ts';
import { ALLOW, startHook } from '../support/hook-service.ts';
import { startRouter, startScriptedWorker, type Script } from '../support/scripted-worker.ts';

const MODELS = ['llama-8b', 'llama-70b', 'qwen-7b'];
const KEYS = [
  { name: 'all', key: 'sk-all' },
  { name: 'llama', key: 'sk-llama', allowedModels: ['llama-*'] },
  { name: 'one', key: 'sk-one', allowedModels: ['llama-8b', 'small'] },
  { name: 'llamas', key: 'sk-llamas', allowedModels: ['llama-*', 'qwen-7b'] },
] as const;

const as = (name: string, more: Record<string, string> = {}): RequestInit => ({
  headers: { authorization: `Bearer sk-${name}`, ...more },
});

async function startModels(models: readonly string[] = MODELS, more: object = {}, answer?: Script) {
  const worker = await startScriptedWorker(answer, { models });
  const fleet = await startRouter([worker], { router: { apiKeys: KEYS, ...more } });
  return {
    fleet,
    worker,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

async function outcome(response: Response): Promise<[number, string | undefined]> {
  const text = await response.text();
  const body = (text.startsWith('{') ? JSON.parse(text) : {}) as { error?: { code?: string } };
  return [response.status, body.error?.code];
}

const REFUSED = [403, 'model_not_allowed'];

test('exact names, beginnings of names, and everything', async () => {
  await using models = await startModels();
  const { fleet } = models;
  const cases: readonly (readonly [tenant: string, model: string, status: number])[] = [
    ['all', 'qwen-7b', 200],
    ['all', 'unlisted', 200],
    ['llama', 'llama-8b', 200],
    ['llama', 'llama-70b', 200],
    ['llama', 'llama-unlisted', 200],
    ['llama', 'qwen-7b', 403],
    ['llama', 'Llama-8b', 403],
    ['llama', 'llama', 403],
    ['one', 'llama-8b', 200],
    ['one', 'llama-8b2', 403],
    ['one', ' llama-8b', 403],
  ];
  for (const [tenant, model, status] of cases)
    assert.equal((await chat(fleet, { model }, as(tenant))).status, status, `${tenant} ${model}`);
  const refused = await chat(fleet, { model: 'qwen-7b' }, as('llama'));
  const { error } = (await refused.json()) as { error: { message: string; type: string; param: string } };
  assert.match(error.message, /"qwen-7b" is not allowed/);
  assert.deepEqual([error.type, error.param], ['permission_error', 'model']);
});

test('on every route that carries a model', async () => {
  await using models = await startModels();
  const { fleet, worker } = models;
  const bodies: Readonly<Record<string, object>> = {
    '/v1/chat/completions': CHAT,
    '/v1/completions': { prompt: 'hi' },
    '/v1/embeddings': { input: 'hi' },
    '/v1/responses': { input: 'hi' },
    '/v1/messages': CHAT,
    '/v1/messages/count_tokens': CHAT,
    '/v1/rerank': { query: 'a', documents: ['b'] },
    '/rerank': { query: 'a', documents: ['b'] },
    '/v1/score': { text_1: 'a', text_2: 'b' },
    '/classify': { input: 'hi' },
    '/pooling': { input: 'hi' },
    '/tokenize': { prompt: 'hi' },
    '/detokenize': { tokens: [1] },
    '/generate': { prompt: 'hi' },
    '/inference/v1/generate': { token_ids: [1] },
    '/v1/chat/completions/batch': { messages: [CHAT.messages] },
    '/v2/embed': { texts: ['hi'] },
    '/generative_scoring': { query: 'a', items: ['b'] },
    '/invocations': CHAT,
    '/v1/chat/completions/render': CHAT,
    '/v1/completions/render': { prompt: 'hi' },
    '/v1/responses/render': { input: 'hi' },
    '/v1/messages/render': CHAT,
    '/v1/chat/completions/derender': { generate_response: {} },
    '/v1/completions/derender': { generate_responses: [] },
  };
  for (const [path, body] of Object.entries(bodies)) {
    const ask = (model: string): Promise<Response> => post(fleet, path, { ...body, model }, as('llama'));
    assert.equal((await ask('qwen-7b')).status, 403, path);
    assert.equal((await ask('llama-8b')).status, 200, path);
  }
  assert.ok(worker.received.every(({ body }) => !body.includes('qwen')));
});

test('in a form, however large: it is held to be read', async () => {
  await using models = await startModels();
  const upload = (model: string, bytes: number): Promise<Response> => {
    const form = new FormData();
    form.set('file', new Blob([new Uint8Array(bytes)]), 'a.wav');
    form.set('model', model);
    const init = { method: 'POST', body: form, ...as('llama') };
    return fetch(`${models.fleet.url}/v1/audio/transcriptions`, init);
  };
  for (const bytes of [10, 3_000_000]) {
    assert.deepEqual(await outcome(await upload('qwen-7b', bytes)), REFUSED);
    assert.equal((await upload('llama-8b', bytes)).status, 200);
  }
});

test('a body too large to parse', async () => {
  await using models = await startModels();
  const messages = [{ role: 'user', content: 'x'.repeat(2_000_000) }];
  assert.deepEqual(
    await outcome(await chat(models.fleet, { messages, model: 'qwen-7b' }, as('llama'))),
    REFUSED,
  );
  assert.equal((await chat(models.fleet, { messages, model: 'llama-8b' }, as('llama'))).status, 200);
});

test('without a model: only who may use all that it could reach', async () => {
  await using models = await startModels();
  const { fleet } = models;
  const nameless = { model: undefined };
  const odd: readonly object[] = [
    nameless,
    { model: '' },
    { model: 7 },
    { model: null },
    { model: ['llama-8b'] },
  ];
  for (const fields of odd) {
    assert.deepEqual(await outcome(await chat(fleet, fields, as('llama'))), REFUSED, JSON.stringify(fields));
    assert.equal((await chat(fleet, fields, as('llamas'))).status, 200);
    assert.equal((await chat(fleet, fields, as('all'))).status, 200);
  }
  // The router does not look into bodies of routes that it does not know.
  for (const [method, path] of [
    ['POST', '/v1/images/generations'],
    ['GET', '/v1/files/qwen-7b'],
    ['POST', '/v1/new'],
  ] as const) {
    const init = method === 'GET' ? { method } : { method, body: '{"model":"qwen-7b"}' };
    const ask = (tenant: string) => fetch(fleet.url + path, { ...init, ...as(tenant) });
    assert.deepEqual(await outcome(await ask('llama')), REFUSED, path);
    assert.equal((await ask('all')).status, 200, path);
  }
  await using single = await startModels(['llama-8b']);
  assert.equal((await chat(single.fleet, nameless, as('one'))).status, 200);
  assert.equal((await fetch(`${single.fleet.url}/v1/models/llama-8b`, as('one'))).status, 200);
});

test('a member of the body is read from the body alone, however large it is', async () => {
  await using models = await startModels();
  const { fleet, worker } = models;
  for (const filler of ['', 'x'.repeat(1_100_000)])
    for (const hidden of [
      '"__proto__":{"model":"llama-8b","stream":true,"previous_response_id":"resp_1"}',
      '"constructor":{"model":"llama-8b"},"prototype":{"model":"llama-8b"}',
      '"\\u005f_proto__":{"model":"llama-8b"}',
    ]) {
      const body = `{${hidden},"prompt":"${filler}"}`;
      const ask = (tenant: string): Promise<Response> =>
        fetch(`${fleet.url}/v1/completions`, { method: 'POST', body, ...as(tenant) });
      assert.deepEqual(await outcome(await ask('llama')), REFUSED, hidden);
      assert.equal((await ask('all')).status, 200);
      assert.equal(worker.last.body.toString(), body);
      const { requested_model, stream } = await fleet.decision();
      assert.deepEqual([requested_model, stream], [undefined, false]);
    }
});

test('what decides or counts is not passed on unread because it is long', async () => {
  await using models = await startModels();
  const zeros = '0'.repeat(70_000);
  for (const member of [`"stream":1.${zeros}`, `"max_tokens":9000.${zeros}`, `"model":"${zeros}"`]) {
    const body = `{"prompt":"${'x'.repeat(1_100_000)}",${member}}`;
    const response = await fetch(`${models.fleet.url}/v1/completions`, {
      method: 'POST',
      body,
      ...as('all'),
    });
    assert.deepEqual(await outcome(response), [400, 'invalid_json']);
  }
});

describe('to a gateway of several models a request without one is made to name the only one that is allowed', () => {
  const nameless = [
    '{"prompt":"hi","previous_response_id":"resp_1"}',
    '{ "model" : null,"prompt":"hi"}',
    '{"prompt":"hi","model":""}',
    '{}',
  ];
  for (const [size, filler] of [
    ['small', ''],
    ['large', `,"x":"${'x'.repeat(1_100_000)}"}`],
  ] as const)
    for (const given of nameless.slice(0, filler === '' ? 4 : 3))
      test(`${size}: ${given}`, async () => {
        await using models = await startModels(MODELS, { enableIgw: true });
        const { fleet, worker } = models;
        const body = filler === '' ? given : given.slice(0, -1) + filler;
        const init = { method: 'POST', body, ...as('one') };
        for (const path of [
          '/v1/chat/completions',
          '/v1/completions',
          '/v1/responses',
          '/v1/messages',
          '/generate',
        ]) {
          assert.equal((await fetch(fleet.url + path, init)).status, 200, path);
          assert.deepEqual(JSON.parse(worker.last.body.toString()), {
            ...JSON.parse(body),
            model: 'llama-8b',
          });
        }
        const { model, requested_model } = await fleet.decision();
        assert.deepEqual([model, requested_model], ['llama-8b', undefined]);
        assert.equal((await fetch(`${fleet.url}/v1/completions`, { ...init, ...as('all') })).status, 400);
      });

  test('a form', async () => {
    await using models = await startModels(MODELS, { enableIgw: true });
    const form = new FormData();
    form.set('file', new Blob(['RIFF']), 'a.wav');
    const url = `${models.fleet.url}/v1/audio/transcriptions`;
    assert.equal((await fetch(url, { method: 'POST', body: form, ...as('one') })).status, 200);
    const { body, headers } = models.worker.last;
    const read = readForm(body, headers['content-type'] ?? '');
    assert.deepEqual(
      [read.plain, fieldText(body, read, 'model'), fieldText(body, read, 'file')],
      [true, 'llama-8b', 'RIFF'],
    );
  });
});

test('hooks are told what was judged and what is sent', async () => {
  await using hook = await startHook();
  const preRoutingHooks = [{ name: 'guard', url: hook.url, transform: true }];
  await using models = await startModels(MODELS, { enableIgw: true, preRoutingHooks });
  const { fleet, worker } = models;
  const ask = (body: string, tenant: string): Promise<Response> =>
    fetch(`${fleet.url}/v1/completions`, { method: 'POST', body, ...as(tenant) });
  for (const filler of ['', 'x'.repeat(1_100_000)]) {
    const hidden = `{"__proto__":{"model":"qwen-7b","stream":true},"stream":"0","prompt":"${filler}"}`;
    assert.equal((await ask(hidden, 'one')).status, 200);
    assert.equal(hook.last.headers['x-vllm-router-model'], 'llama-8b');
    assert.ok(hook.last.body.equals(worker.last.body));
    assert.ok(worker.last.body.includes('"model":"llama-8b"'));
    // Asked for anew, what a hook has put in place included.
    hook.answer = { action: 'transform', body: { prompt: 'other' } };
    assert.equal((await ask(hidden, 'one')).status, 200);
    assert.equal(worker.last.body.toString(), '{"model":"llama-8b","prompt":"other"}');
    hook.answer = { action: 'transform', body: { prompt: 'other', model: 'qwen-7b' } };
    assert.deepEqual(await outcome(await ask(hidden, 'one')), REFUSED);
    hook.answer = ALLOW;
  }
});

test('a form that parsers read differently is refused', async () => {
  await using models = await startModels();
  const { fleet, worker } = models;
  const plain = 'Content-Disposition: form-data; name="model"';
  const form = (head: string): string => `--x\r\n${head}\r\n\r\nllama-8b\r\n--x--\r\n`;
  const second = form('Content-Disposition: form-data; name="model"').replace('llama-8b', 'qwen-7b');
  for (const [body, code] of [
    [form(`${plain}; name="other"`), 'ambiguous_form'],
    [form(`${plain}\r\nContent-Disposition: form-data; name="other"`), 'ambiguous_form'],
    [form(`${plain}; name*0=oth; name*1=er`), 'ambiguous_form'],
    [form("Content-Disposition: form-data; name*=utf-8''model"), 'ambiguous_form'],
    [form('Content-Disposition: form-data; name="mod\\el"'), 'ambiguous_form'],
    [`--x\r\n${form(plain)}`, 'ambiguous_form'],
    [second + form(plain), 'ambiguous_form'],
    [second.replace('--x--\r\n', form(plain)), 'duplicate_field'],
  ] as const) {
    const response = await fetch(`${fleet.url}/v1/audio/transcriptions`, {
      method: 'POST',
      body,
      ...as('llama', { 'content-type': 'multipart/form-data; boundary=x' }),
    });
    assert.deepEqual(await outcome(response), [400, code], body);
  }
  assert.deepEqual(worker.received, []);
});

test('a form that parsers read differently is the worker’s to read where nothing goes by it', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const body = "--x\r\nContent-Disposition: form-data; name*=utf-8''model; name=y\r\n\r\nm\r\n--x";
  const headers = { 'content-type': 'multipart/form-data; boundary=x; boundary=y' };
  const response = await fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body, headers });
  assert.equal(response.status, 200);
  assert.equal(worker.last.body.toString(), body);
});

test('a name for another model: both must be allowed', async () => {
  await using models = await startModels(MODELS, {
    modelRules: [
      { match: 'small', rewrite: 'llama-8b' },
      { match: 'llama-fast', rewrite: 'qwen-7b' },
    ],
  });
  const { fleet } = models;
  assert.equal((await chat(fleet, { model: 'small' }, as('one'))).status, 200);
  // The name it asks for is not allowed, although the model behind it is.
  assert.deepEqual(await outcome(await chat(fleet, { model: 'small' }, as('llama'))), REFUSED);
  // The name is allowed, the model behind it is not.
  assert.deepEqual(await outcome(await chat(fleet, { model: 'llama-fast' }, as('llama'))), REFUSED);
  assert.equal((await chat(fleet, { model: 'llama-fast' }, as('llamas'))).status, 200);
});

test('the lists of models show what may be used', async () => {
  await using models = await startModels(MODELS, { modelRules: [{ match: 'small', rewrite: 'llama-8b' }] });
  const listed = async (tenant: string): Promise<string[]> => {
    const response = await fetch(`${models.fleet.url}/v1/models`, as(tenant));
    const { data } = (await response.json()) as { data: { id: string }[] };
    return data.map(({ id }) => id);
  };
  assert.deepEqual(await listed('all'), [...MODELS, 'small']);
  assert.deepEqual(await listed('llama'), ['llama-8b', 'llama-70b']);
  assert.deepEqual(await listed('one'), ['llama-8b', 'small']);
  for (const path of ['/get_model_info', '/get_server_info'])
    assert.ok(!(await (await fetch(models.fleet.url + path, as('llama'))).text()).includes('qwen'), path);
});

test('a suggestion names no model that may not be used', async () => {
  await using models = await startModels(MODELS, { unknownModel: 'reject' });
  const [, code] = await outcome(await chat(models.fleet, { model: 'llama-80b' }, as('llama')));
  assert.equal(code, 'model_not_found');
  const response = await chat(models.fleet, { model: 'qwen-70' }, as('llama'));
  assert.equal(response.status, 403);
  assert.ok(!(await response.text()).includes('qwen-7b'));
});

const store: Script = (response, { url, body }) => {
  const id =
    /^\/v1\/responses\/(resp_\w+)/.exec(url)?.[1] ??
    `resp_${body.length}x${Math.random().toString(36).slice(2)}`;
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ id, object: 'response', output: [] }));
};

async function createResponse(fleet: Fleet, tenant: string, fields: object = {}): Promise<string> {
  const response = await post(
    fleet,
    '/v1/responses',
    { model: 'llama-8b', input: 'hi', ...fields },
    as(tenant),
  );
  assert.equal(response.status, 200);
  return ((await response.json()) as { id: string }).id;
}

test('a stored response is its tenant’s alone, to read, cancel, delete and go on from', async () => {
  await using models = await startModels(MODELS, {}, store);
  const { fleet, worker } = models;
  const id = await createResponse(fleet, 'llama');
  const before = worker.received.length;
  const uses = [
    ['GET', ''],
    ['GET', '/input_items'],
    ['POST', '/cancel'],
    ['DELETE', ''],
  ] as const;
  for (const [method, rest] of uses) {
    const response = await fetch(`${fleet.url}/v1/responses/${id}${rest}`, { method, ...as('all') });
    assert.deepEqual(await outcome(response), [404, 'response_not_found'], method + rest);
  }
  const encoded = await fetch(`${fleet.url}/v1/responses/${id.replace('r', '%72')}`, as('all'));
  assert.equal(encoded.status, 404);
  const continued = await post(
    fleet,
    '/v1/responses',
    { model: 'llama-8b', input: 'and?', previous_response_id: id },
    as('all'),
  );
  assert.deepEqual(await outcome(continued), [404, 'response_not_found']);
  assert.equal(worker.received.length, before);
  // The owner, also after others have tried.
  for (const [method, rest] of uses)
    assert.equal(
      (await fetch(`${fleet.url}/v1/responses/${id}${rest}`, { method, ...as('llama') })).status,
      200,
      method + rest,
    );
  await createResponse(fleet, 'llama', { previous_response_id: id });
});

test('who chooses the id of another tenant’s response neither replaces it nor owns it', async () => {
  let taken = '';
  const script: Script = (response, request) => {
    if (taken === '') store(response, request);
    else
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ id: taken, output: [] }));
  };
  await using models = await startModels(MODELS, {}, script);
  const { fleet, worker } = models;
  const id = await createResponse(fleet, 'llama');
  const before = worker.received.length;
  for (const fields of [{}, { padding: 'x'.repeat(1_100_000) }]) {
    const body = { model: 'llama-8b', input: 'hi', request_id: id, ...fields };
    const response = await post(fleet, '/v1/responses', body, as('all'));
    assert.deepEqual(await outcome(response), [400, 'invalid_request']);
  }
  assert.equal(worker.received.length, before);
  // However the worker came to give it out a second time.
  taken = id;
  await createResponse(fleet, 'all');
  const read = async (tenant: string): Promise<number> =>
    (await fetch(`${fleet.url}/v1/responses/${id}`, as(tenant))).status;
  assert.deepEqual([await read('all'), await read('llama')], [404, 200]);
  await createResponse(fleet, 'llama', { request_id: id });
});

test('who reads a response that the router does not know does not own it thereby', async () => {
  await using models = await startModels(MODELS, {}, store);
  const { fleet } = models;
  for (const tenant of ['all', 'llama', 'all'])
    assert.equal((await fetch(`${fleet.url}/v1/responses/resp_unknown`, as(tenant))).status, 200);
});
