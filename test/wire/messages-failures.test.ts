/** Translated messages: what breaks is seen to break, in Anthropic's shape. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post } from '../support/chat.ts';
import { settledAt, startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { answerDecode, answerPrefill, startPairs } from '../support/pairs.ts';
import { startRouter, startScriptedWorker, type Script } from '../support/scripted-worker.ts';

const MESSAGE = { model: 'sim-model', max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };
const STREAM = { ...MESSAGE, stream: true };
const ROUTER = { router: { anthropic: 'translate' as const, disableRetries: true } };

function events(...data: readonly string[]): Script {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(data.map((one) => `data: ${one}\n\n`).join(''));
  };
}

function json(body: string, status = 200, type = 'application/json'): Script {
  return (response) => {
    response.writeHead(status, { 'content-type': type });
    response.end(body);
  };
}

/** Answers as FastAPI does where there is no such route. */
function without(paths: readonly string[], then: Script): Script {
  return (response, request) => {
    const isGone = paths.some((path) => request.url.startsWith(path));
    (isGone ? json('{"detail":"Not Found"}', 404) : then)(response, request);
  };
}

function delta(content: string): string {
  return JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta: { content } }] });
}

function errorIn(text: string): { readonly type: string; readonly message: string } {
  const body = JSON.parse(text);
  assert.equal(body.type, 'error', text);
  return body.error;
}

for (const [what, script] of [
  ['ends before its answer does', events(delta('a'))],
  ['is garbage behind the first event', events(delta('a'), '<html>')],
  ['says that it failed', events(delta('a'), '{"error":{"message":"no","code":500}}', '[DONE]')],
  ['is one event without end', events(delta('a'), 'x'.repeat(1_100_000))],
] as const)
  test(`a stream that ${what} ends in an error event`, async () => {
    await using worker = await startScriptedWorker(script);
    await using fleet = await startRouter([worker], ROUTER);
    const text = await (await post(fleet, '/v1/messages', STREAM)).text();
    assert.match(text, /"text":"a"/);
    const last = text.trimEnd().split('\n\n').at(-1) ?? '';
    assert.match(last, /^event: error\ndata: \{"type":"error"/);
    assert.doesNotMatch(text, /message_stop/);
    assert.equal((await fleet.decision()).outcome, 'worker_broken');
  });

for (const [what, script] of [
  ['no JSON', json('<html>')],
  ['no answer of a chat', json('{"choices":[]}')],
  ['cut off', json('{"choices":[{"message":')],
  [
    'encoded as nobody knows',
    (response) =>
      void response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'rot13' })
        .end('{}'),
  ],
] as const satisfies readonly (readonly [string, Script])[])
  test(`an answer that is ${what} is a 502`, async () => {
    await using worker = await startScriptedWorker(script);
    await using fleet = await startRouter([worker], ROUTER);
    const response = await post(fleet, '/v1/messages', MESSAGE);
    assert.equal(response.status, 502);
    assert.equal(errorIn(await response.text()).type, 'api_error');
    const { outcome, error } = await fleet.decision();
    assert.deepEqual([outcome, error], ['worker_broken', 'worker_bad_response']);
  });

test('another worker answers for one whose answer is none', async () => {
  await using broken = await startScriptedWorker(json('{"choices":[]}'));
  await using whole = await startScriptedWorker(json('{"choices":[{"message":{"content":"a"}}]}'));
  await using fleet = await startRouter([broken, whole], {
    router: { anthropic: 'translate', policy: 'round_robin', retry: { initialBackoffMs: 1 } },
  });
  for (let i = 0; i < 4; i += 1) assert.equal((await post(fleet, '/v1/messages', MESSAGE)).status, 200);
});

test('errors of any shape are Anthropic’s, with their status and type', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], ROUTER);
  for (const [status, body, type, said] of [
    [400, '{"error":{"message":"too long","code":400}}', 'application/json', 'invalid_request_error'],
    [503, '<html>busy</html>', 'text/html', 'overloaded_error'],
    [429, '', 'text/plain', 'rate_limit_error'],
  ] as const) {
    worker.answer = json(body, status, type);
    const response = await post(fleet, '/v1/messages', STREAM);
    assert.equal(response.status, status);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    assert.equal(errorIn(await response.text()).type, said);
  }
});

test('an encoded answer is decoded and translated', async () => {
  const { gzipSync } = await import('node:zlib');
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
    response.end(gzipSync('{"choices":[{"message":{"content":"a"}}]}'));
  });
  await using fleet = await startRouter([worker], ROUTER);
  const response = await post(fleet, '/v1/messages', MESSAGE);
  const text = await response.text();
  assert.deepEqual(JSON.parse(text).content, [{ type: 'text', text: 'a' }]);
  assert.equal(response.headers.get('content-encoding'), null);
});

test('a reader that stops holds the worker back, and loses nothing', async () => {
  const event = `data: ${delta('x'.repeat(100_000))}\n\n`;
  let sent = 0;
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const pump = (): void => {
      for (; sent < 1000; sent += 1) {
        if (response.write(event)) continue;
        sent += 1;
        response.once('drain', pump);
        return;
      }
      response.end('data: [DONE]\n\n');
    };
    pump();
  });
  await using fleet = await startRouter([worker], ROUTER);
  const response = await post(fleet, '/v1/messages', STREAM);
  assert.ok((await settledAt(() => sent)) < 500, `${sent} of 1000 events are under way to nobody`);
  assert.equal((await response.text()).split('text_delta').length - 1, 1000);
});

test('a worker that can count in neither way says so', async () => {
  await using worker = await startScriptedWorker(without(['/v1/messages', '/tokenize'], json('{}')));
  await using fleet = await startRouter([worker]);
  const response = await post(fleet, '/v1/messages/count_tokens', MESSAGE);
  assert.equal(response.status, 404);
  assert.match(errorIn(await response.text()).message, /neither by .*count_tokens nor by \/tokenize/);
});

test('JSON that is nested deeper than it can be written is a 400', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], ROUTER);
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const body = `{"model":"sim-model","max_tokens":1,"messages":[{"role":"user","content":"hi"}],"x":${deep}}`;
  const response = await fetch(`${fleet.url}/v1/messages`, { method: 'POST', body });
  assert.equal(response.status, 400);
  assert.equal(errorIn(await response.text()).type, 'invalid_request_error');
});

const NO_MESSAGES = ['/v1/messages'];

for (const [which, prefill, decode] of [
  ['both', NO_MESSAGES, NO_MESSAGES],
  ['the one that computes', NO_MESSAGES, []],
  ['the one that answers', [], NO_MESSAGES],
] as const)
  test(`a pair of which ${which} lacks the route is asked for a chat`, async () => {
    await using pair = await startPairs({
      prefills: [
        without(prefill, (response) => {
          answerPrefill(response);
        }),
      ],
      decodes: [without(decode, answerDecode)],
    });
    for (const body of [MESSAGE, STREAM]) {
      const response = await post(pair.fleet, '/v1/messages', body);
      const text = await response.text();
      assert.equal(response.status, 200, text);
      assert.match(text, /"cache_read_input_tokens":16/);
      assert.match(text, /hello/);
    }
    const chats = pair.decodes[0]!.received.filter(({ url }) => url === '/v1/chat/completions');
    assert.equal(chats.length, 2);
    assert.match(String(chats[0]?.body), /"kv_transfer_params":\{"do_remote_prefill":true/);
    const computed = pair.prefills[0]!.received.filter(({ url }) => url === '/v1/chat/completions');
    assert.deepEqual(
      computed.map(({ body }) => {
        const { max_tokens: most, stream, stream_options: options } = JSON.parse(String(body));
        return [most, stream, options];
      }),
      [
        [1, false, undefined],
        [1, false, undefined],
      ],
    );
    const metrics = await scrape(pair.fleet);
    assert.equal(metrics.sum('vllm_router_pd_errors_total'), 0);
    assert.equal(metrics.sum('vllm_router_retries_total'), 0);
    const { attempts } = await pair.fleet.decision();
    assert.deepEqual(
      attempts.map(({ role, translated }) => [role, translated]),
      [
        ['prefill', true],
        ['decode', true],
      ],
    );
  });

test('the tokens of a message are those of its chat where the workers get that', async () => {
  await using fleet = await startFleet({
    workers: [{ messagesApi: false }],
    router: { exactTokens: 'always' },
    onlyRegular: 'it counts what is asked',
  });
  const body = { ...MESSAGE, system: 'Be brief.' };
  await (await post(fleet, '/v1/messages', body)).text();
  await (await post(fleet, '/v1/messages', body)).text();
  const { tokens_source: source, prompt_tokens: tokens } = await fleet.decision();
  assert.equal(source, 'worker');
  const asked = fleet.workers[0]!.seen.filter(({ url }) => url.endsWith('/render'));
  assert.equal(asked.at(-1)?.url, '/v1/chat/completions/render');
  assert.ok((tokens ?? 0) > 0);
});
