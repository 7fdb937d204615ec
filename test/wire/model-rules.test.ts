/** The name a client asks for and the model that serves it: what the worker gets, and that every record agrees. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { silentLog } from '../../src/observe/log.ts';
import { adminOf } from '../support/admin.ts';
import { chat, CHAT, post, workerOf } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

type Rules = NonNullable<RouterOptions['modelRules']>;

const ALIAS: Rules = [{ match: 'gpt-4', rewrite: 'llama' }];
const CHATTER = [{ role: 'user', content: 'hi' }];

function bodyOf(fleet: Fleet, index = 0): string {
  return fleet.workers[index]?.seen.findLast(({ method }) => method === 'POST')?.body.toString() ?? '';
}

test('an alias reaches the worker as the model, on every route and with every other byte as it was', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['llama'] }],
    onlyRegular: 'a body of a pair has more in it',
    router: { modelRules: ALIAS },
  });
  for (const [path, fields] of [
    ['/v1/chat/completions', { messages: CHATTER, max_tokens: 2 }],
    ['/v1/chat/completions', { messages: CHATTER, max_tokens: 2, stream: true }],
    ['/v1/completions', { prompt: 'hi', max_tokens: 2 }],
    ['/v1/embeddings', { input: 'hi' }],
    ['/v1/responses', { input: 'hi', max_output_tokens: 2 }],
    ['/v1/messages', { messages: CHATTER, max_tokens: 2 }],
    ['/tokenize', { prompt: 'hi' }],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x'.repeat(1_500_000) }], max_tokens: 1 }],
  ] as const) {
    const rest = JSON.stringify(fields).slice(1);
    const sent = `\ufeff{ "big" : 12345678901234567890 ,"mod\\u0065l"\n:"gpt-4" ,${rest}`;
    const response = await fetch(fleet.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: sent,
    });
    // A prompt that is too long for the model is the worker's to refuse; it has understood the request then.
    assert.ok([200, 400].includes(response.status), path);
    assert.equal(response.headers.get('x-vllm-router-model'), 'llama', path);
    await response.text();
    assert.equal(bodyOf(fleet), sent.replace('"gpt-4"', '"llama"'), path);
    assert.equal(fleet.workers[0]?.seen.findLast(({ method }) => method === 'POST')?.url, path);
  }
});

for (const bytes of [1_000, 3_000_000]) {
  test(`the model of a form is replaced, around a file of ${bytes} bytes`, async () => {
    await using worker = await startScriptedWorker(undefined, { models: ['whisper'] });
    await using fleet = await startRouter([worker], {
      router: { modelRules: [{ match: 'a-much-longer-name-than-whisper', rewrite: 'whisper' }] },
    });
    const file = Buffer.alloc(bytes, 'RIFF\r\n--x');
    const form = (model: string): Buffer =>
      Buffer.concat([
        Buffer.from('--x-y\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'),
        file,
        Buffer.from(
          `\r\n--x-y\r\ncontent-disposition: form-data; name="model"\r\n\r\n${model}\r\n--x-y--\r\n`,
        ),
      ]);
    const response = await fetch(`${fleet.url}/v1/audio/transcriptions`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=x-y' },
      body: new Uint8Array(form('a-much-longer-name-than-whisper')),
    });
    assert.equal(response.status, 200);
    await response.text();
    assert.ok(worker.last.body.equals(form('whisper')));
    assert.equal(worker.last.headers['content-length'], String(form('whisper').length));
    assert.equal(worker.last.headers['content-type'], 'multipart/form-data; boundary=x-y');
  });
}

test('header, record, access line and metrics agree on the model', async () => {
  const lines: Record<string, unknown>[] = [];
  const note = (fields: object): number => lines.push(fields as Record<string, unknown>);
  await using fleet = await startFleet({
    workers: [{ models: ['llama'] }],
    router: { modelRules: [{ match: 'openai/*', rewrite: 'llama' }] },
    log: { ...silentLog, info: note },
  });
  const response = await chat(fleet, { model: 'openai/gpt-4' });
  assert.equal(response.headers.get('x-vllm-router-model'), 'llama');
  assert.equal(((await response.json()) as { model: string }).model, 'llama', 'the worker says its own name');
  const decision = await fleet.decision();
  const { requested_model: requested, model, rule, rule_missed: missed } = decision;
  assert.deepEqual(
    { requested, model, rule, missed },
    {
      requested: 'openai/gpt-4',
      model: 'llama',
      rule: 'openai/*',
      missed: undefined,
    },
  );
  assert.equal(lines.find(({ request_id: id }) => id === decision.request_id)?.['model'], 'llama');
  const metrics = await scrape(fleet);
  assert.ok(metrics.sum('vllm_router_prompt_tokens_total', { model: 'llama' }) > 0);
  assert.equal(metrics.sum('vllm_router_prompt_tokens_total', { model: 'openai/gpt-4' }), 0);
  assert.equal(metrics.value('vllm_router_model_rules_total', { rule: 'openai/*', outcome: 'applied' }), 1);
});

test('a request that no rule matches, or without a model, stays as it is', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { modelRules: ALIAS } });
  for (const fields of [{ model: 'gpt-4o' }, { model: 'GPT-4' }, { model: undefined }, { model: 4 }]) {
    await (await chat(fleet, fields)).text();
    assert.equal(worker.last.body.toString(), JSON.stringify({ ...CHAT, ...fields }));
    assert.equal((await fleet.decision()).rule, undefined);
  }
  await (
    await fetch(`${fleet.url}/some/route?model=gpt-4`, { method: 'POST', body: '{"model":"gpt-4"}' })
  ).text();
  assert.equal(worker.last.body.toString(), '{"model":"gpt-4"}');
  assert.equal(worker.last.url, '/some/route?model=gpt-4');
});

/** Makes a worker unhealthy as failed checks do. */
function fail(fleet: Fleet, index: number): void {
  const worker = fleet.app.runtime.registry.get(fleet.workers[index]?.url ?? '');
  assert.ok(worker);
  for (let check = 0; check < 3; check += 1) fleet.app.runtime.registry.reportCheck(worker, false);
}

test('a fallback goes to the first model that has a usable worker, and without any the name passes', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['big', 'chat'] }, { models: ['middle'] }, { models: ['small'] }],
    router: { modelRules: [{ match: 'chat', fallback: ['big', 'unlisted', 'middle', 'small'] }] },
  });
  const served = async (): Promise<[model: string | null, worker: string | null]> => {
    const response = await chat(fleet, { model: 'chat' });
    await response.text();
    return [response.headers.get('x-vllm-router-model'), workerOf(response)];
  };
  const [first, second, third] = fleet.workers.map(({ url }) => url);
  const workers = fleet.app.runtime.registry;
  assert.deepEqual(await served(), ['big', first]);
  fail(fleet, 0);
  assert.deepEqual(await served(), ['middle', second]);
  const middle = workers.get(second ?? '');
  assert.ok(middle);
  middle.draining = true;
  assert.deepEqual(await served(), ['small', third]);
  middle.draining = false;
  assert.deepEqual(await served(), ['middle', second], 'back as soon as it can be used');
  fail(fleet, 1);
  fail(fleet, 2);
  // Its worker is down, too: the answer is about the name that was asked for.
  const response = await chat(fleet, { model: 'chat' });
  assert.equal(response.status, 503);
  assert.match(await response.text(), /for model \\"chat\\"/);
  const decision = await fleet.decision(({ status }) => status === 503);
  assert.deepEqual([decision.model, decision.rule, decision.rule_missed], ['chat', undefined, 'chat']);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_model_rules_total', { rule: 'chat', outcome: 'no_worker' }), 1);
  assert.equal(metrics.value('vllm_router_model_rules_total', { rule: 'chat', outcome: 'applied' }), 4);
});

test('a fallback passes by a model whose circuits are open', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['big'], faults: ['status:code=503'] }, { models: ['small'] }],
    router: {
      modelRules: [{ match: 'chat', fallback: ['big', 'small'] }],
      circuitBreaker: { failureThreshold: 1, timeoutDurationSecs: 600 },
      disableRetries: true,
    },
  });
  assert.equal((await chat(fleet, { model: 'chat' })).status, 503);
  const response = await chat(fleet, { model: 'chat' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-model'), 'small');
  await response.text();
});

test('a split keeps its proportions, and a session its model', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['stable', 'canary'] }],
    router: {
      modelRules: [
        {
          match: 'm',
          split: [
            { model: 'stable', weight: 3 },
            { model: 'canary', weight: 1 },
          ],
        },
      ],
      accessLog: false,
    },
  });
  const modelFor = async (headers: Record<string, string>, fields: object = {}): Promise<string | null> => {
    const response = await post(fleet, '/tokenize', { model: 'm', prompt: 'hi', ...fields }, { headers });
    await response.text();
    return response.headers.get('x-vllm-router-model');
  };
  const count = async (turns: number, headers: (turn: number) => Record<string, string>): Promise<number> => {
    let canaries = 0;
    for (let turn = 0; turn < turns; turn += 1)
      if ((await modelFor(headers(turn))) === 'canary') canaries += 1;
    return canaries / turns;
  };
  for (const headers of [() => ({}), (turn: number) => ({ 'x-session-id': `s${turn}` })]) {
    const share = await count(300, headers);
    assert.ok(share > 0.15 && share < 0.36, `${share}`);
  }
  for (let session = 0; session < 8; session += 1) {
    const models = new Set<string | null>();
    for (let turn = 0; turn < 6; turn += 1) {
      models.add(await modelFor({ 'x-session-id': `s${session}`, 'x-request-id': `${session}-${turn}` }));
      // A fresh id of the request must not hide who asks.
      await modelFor({ 'x-request-id': `${session}-${turn}` }, { user: `u${session}` });
    }
    assert.equal(models.size, 1, `session ${session}`);
  }
  const byUser = new Set<string | null>();
  for (let turn = 0; turn < 12; turn += 1)
    byUser.add(await modelFor({ 'x-request-id': `r${turn}` }, { user: 'one' }));
  assert.equal(byUser.size, 1);
});

test('a dry run shows the rule, and counts nothing', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['llama'] }],
    router: { modelRules: [...ALIAS, { match: 'gone', fallback: ['nowhere'] }] },
  });
  const admin = adminOf(fleet);
  const explain = async (model: string): Promise<unknown> => {
    const { body } = await admin('POST', '/admin/explain', {
      path: '/v1/chat/completions',
      body: { ...CHAT, model },
    });
    const { outcome, requested_model: requested, model: resolved, rule, rule_missed: missed } = body;
    return { outcome, requested, resolved, rule, missed };
  };
  assert.deepEqual(await explain('gpt-4'), {
    outcome: 'routed',
    requested: 'gpt-4',
    resolved: 'llama',
    rule: 'gpt-4',
    missed: undefined,
  });
  assert.deepEqual(await explain('gone'), {
    outcome: 'routed',
    requested: 'gone',
    resolved: 'gone',
    rule: undefined,
    missed: 'gone',
  });
  assert.equal((await scrape(fleet)).sum('vllm_router_model_rules_total'), 0);
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
});

test('two spellings of one field are refused where rules apply, and passed on where none do', async () => {
  const double = [
    '{"model":"a","mod\\u0065l":"b","messages":[]}',
    '{"stream":true,"model":"a","stream":false}',
  ];
  const large = `{"model":"a","x":"${'y'.repeat(1_200_000)}","model":"b"}`;
  const form = ['a', 'b']
    .map((model) => `--x\r\ncontent-disposition: form-data; name=model\r\n\r\n${model}\r\n`)
    .join('');
  const send = async (
    fleet: Fleet,
    path: string,
    body: string,
    type = 'application/json',
  ): Promise<Response> =>
    fetch(fleet.url + path, { method: 'POST', headers: { 'content-type': type }, body });
  await using worker = await startScriptedWorker();
  {
    await using fleet = await startRouter([worker], { router: { modelRules: ALIAS } });
    const answers = [
      ...(await Promise.all([...double, large].map((body) => send(fleet, '/v1/chat/completions', body)))),
      await send(fleet, '/v1/audio/transcriptions', `${form}--x--\r\n`, 'multipart/form-data; boundary=x'),
    ];
    for (const answer of answers) {
      assert.equal(answer.status, 400);
      assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'duplicate_field');
    }
    const anthropic = await send(fleet, '/v1/messages', double[0] ?? '');
    const { type, error } = (await anthropic.json()) as { type: string; error: { code: string } };
    assert.deepEqual([type, error.code], ['error', 'duplicate_field']);
    assert.deepEqual(worker.received, []);
  }
  await using fleet = await startRouter([worker]);
  for (const body of [...double, large]) {
    assert.equal((await send(fleet, '/v1/chat/completions', body)).status, 200);
    assert.equal(worker.last.body.toString(), body);
  }
});

test('an unknown model is 404 with the nearest model or alias, in the caller’s dialect', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['meta-llama/Llama-3.1-70B'] }],
    router: {
      unknownModel: 'reject',
      modelRules: [
        { match: 'gpt-4-turbo', rewrite: 'meta-llama/Llama-3.1-70B' },
        { match: 'gpt-5-turbo', rewrite: 'nowhere' },
      ],
    },
  });
  const messageFor = async (model: string, path = '/v1/chat/completions'): Promise<unknown> => {
    const response = await post(fleet, path, { ...CHAT, model });
    assert.equal(response.status, 404);
    return response.json();
  };
  const error = (message: string): object => ({
    error: { message, type: 'not_found_error', param: 'model', code: 'model_not_found' },
  });
  assert.deepEqual(
    await messageFor('llama-3.1-70b'),
    error('The model "llama-3.1-70b" does not exist. Did you mean "meta-llama/Llama-3.1-70B"?'),
  );
  assert.deepEqual(
    await messageFor('gpt4-turbo'),
    error('The model "gpt4-turbo" does not exist. Did you mean "gpt-4-turbo"?'),
  );
  assert.deepEqual(await messageFor('claude'), error('The model "claude" does not exist.'));
  // The client is told about the name that it knows.
  assert.deepEqual(
    await messageFor('gpt-5-turbo'),
    error('The model "gpt-5-turbo" does not exist. Did you mean "gpt-4-turbo"?'),
  );
  assert.deepEqual(await messageFor('gpt4-turbo', '/v1/messages'), {
    type: 'error',
    error: {
      type: 'not_found_error',
      message: 'The model "gpt4-turbo" does not exist. Did you mean "gpt-4-turbo"?',
      code: 'model_not_found',
    },
  });
});

test('exact aliases are listed with the card of the model behind them', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['llama', 'own-name'] }],
    router: {
      modelRules: [
        { match: 'gpt-4', rewrite: 'llama' },
        { match: 'chat', fallback: ['unlisted', 'llama'] },
        { match: 'own-name', rewrite: 'llama' },
        { match: 'nothing', rewrite: 'unlisted' },
        { match: 'openai/*', rewrite: 'llama' },
      ],
    },
  });
  const { data } = (await (await fetch(`${fleet.url}/v1/models`)).json()) as {
    data: { id: string; root: string; max_model_len: number }[];
  };
  assert.deepEqual(
    data.map(({ id }) => id),
    ['llama', 'own-name', 'gpt-4', 'chat'],
  );
  const [target, , alias] = data;
  assert.deepEqual(alias, { ...target, id: 'gpt-4', root: 'llama' });
});

test('policy and prefix index go by the model that serves, whatever name was asked for', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['llama', 'other'] }, { models: ['llama', 'other'] }],
    router: {
      policy: 'least_work',
      modelRules: [...ALIAS, { match: 'alias', rewrite: 'other' }],
      modelPolicies: { other: 'round_robin' },
    },
  });
  const messages = [{ role: 'user', content: 'The same long beginning. '.repeat(100) }];
  const ask = async (model: string): Promise<void> => {
    const response = await chat(fleet, { model, messages });
    assert.equal(response.status, 200);
    await response.text();
  };
  await ask('llama');
  await ask('gpt-4');
  const { predicted_cached_tokens: cached, policy } = await fleet.decision();
  assert.ok((cached ?? 0) > 400, `${cached} tokens`);
  assert.equal(policy, 'least_work');
  await ask('alias');
  assert.equal((await fleet.decision(({ model }) => model === 'other')).policy, 'round_robin');
});

test('a model that a rule names is a metric label, listed or not', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"model":"unlisted","usage":{"prompt_tokens":3,"completion_tokens":1}}');
  });
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'gpt-4', rewrite: 'unlisted' }] },
  });
  for (const model of ['gpt-4', 'made-up']) await (await chat(fleet, { model })).text();
  await fleet.decision(({ model }) => model === 'made-up');
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_prompt_tokens_total', { model: 'unlisted' }), 3);
  assert.equal(metrics.value('vllm_router_prompt_tokens_total', { model: 'other' }), 3);
});
