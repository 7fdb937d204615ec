/** Anthropic's API in front of workers that have it, and of others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SimOptions } from '../../src/sim/server/options.ts';
import type { SimWorker } from '../../src/sim/server/server.ts';
import { chat, post, workerOf } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { answering, answeringWorkers } from '../support/fleet-shape.ts';

const OLD = { messagesApi: false, seed: 1 } satisfies SimOptions;
const NEW = { seed: 1 } satisfies SimOptions;
const MESSAGE = { model: 'sim-model', max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };
const LONG = 'Tell me all that there is to be told of routers. '.repeat(60);

function send(fleet: Fleet, fields: object = {}): Promise<Response> {
  return post(fleet, '/v1/messages', { ...MESSAGE, ...fields });
}

async function messageOf(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const message = JSON.parse(text);
  assert.equal(message.type, 'message');
  return message;
}

/** Paths of what the worker was asked, its checks aside. */
function askedOf(worker: SimWorker | undefined): string[] {
  return (worker?.seen ?? []).filter(({ method }) => method === 'POST').map(({ url }) => url);
}

test('a worker that lacks the route is asked once, and is no worse for it', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  await messageOf(await send(fleet));
  const first = await fleet.decision();
  assert.deepEqual([first.status, first.outcome], [200, 'ok']);
  await messageOf(await send(fleet));
  await messageOf(await send(fleet));
  const [worker] = fleet.workers;
  assert.equal(askedOf(worker).filter((path) => path === '/v1/chat/completions').length, 3);
  assert.ok(askedOf(worker).filter((path) => path === '/v1/messages').length <= 1);
  const second = await fleet.decision();
  assert.equal(answering(second).length, 1);
  assert.deepEqual(
    answering(second).map(({ translated, status }) => [translated, status]),
    [[true, 200]],
  );
  assert.ok(answeringWorkers(fleet).every(({ breaker }) => breaker.isClosed));
});

test('whole: the first request costs one attempt and no retry', async () => {
  await using fleet = await startFleet({ workers: [OLD], onlyRegular: 'it counts attempts' });
  await messageOf(await send(fleet));
  const { attempts } = await fleet.decision();
  assert.deepEqual(
    attempts.map(({ status, translated }) => [status, translated]),
    [[200, true]],
  );
  assert.deepEqual(askedOf(fleet.workers[0]), ['/v1/messages', '/v1/chat/completions']);
  assert.doesNotMatch(await fleet.metrics(), /^vllm_router_retries_total\{[^}]*\} [1-9]/m);
});

test('a worker that has the route gets the very bytes', async () => {
  await using fleet = await startFleet({ workers: [NEW], onlyRegular: 'it compares bytes' });
  const body =
    '{"model":"sim-model", "max_tokens":4,"messages":[{"role":"user","content":"\\u0068i"}],"x":1.0}';
  const response = await fetch(`${fleet.url}/v1/messages?beta=true`, {
    ...{ method: 'POST', body, headers: { 'content-type': 'application/json' } },
  });
  await messageOf(response);
  const seen = fleet.workers[0]!.seen.find(({ method }) => method === 'POST');
  assert.deepEqual([seen?.url, String(seen?.body)], ['/v1/messages?beta=true', body]);
});

test('workers of both kinds serve one model', async () => {
  await using fleet = await startFleet({ workers: [OLD, NEW], router: { policy: 'round_robin' } });
  const answers = [];
  for (let i = 0; i < 6; i += 1) answers.push(await messageOf(await send(fleet)));
  for (const { content, stop_reason } of answers)
    assert.deepEqual([content, stop_reason], [answers[0]!['content'], 'max_tokens']);
  assert.ok(fleet.workers.every((worker) => askedOf(worker).length >= 3));
});

test('an unknown model stays a 404, and teaches nothing', async () => {
  await using fleet = await startFleet({ workers: [NEW], onlyRegular: 'it counts what is asked' });
  for (let i = 0; i < 2; i += 1) {
    const response = await send(fleet, { model: 'other' });
    assert.equal(response.status, 404);
    assert.equal(JSON.parse(await response.text()).error.type, 'not_found_error');
  }
  await messageOf(await send(fleet));
  assert.equal(askedOf(fleet.workers[0]).at(-1), '/v1/messages');
  // Now it is known to have the route, so that a 404 is about the model.
  const before = askedOf(fleet.workers[0]).length;
  assert.equal((await send(fleet, { model: 'other' })).status, 404);
  assert.equal(askedOf(fleet.workers[0]).length, before + 1);
});

test('a worker that was away is asked anew', async () => {
  await using fleet = await startFleet({
    workers: [OLD],
    onlyRegular: 'it counts what is asked',
    router: { healthCheck: { checkIntervalSecs: 0.02, successThreshold: 1 } },
  });
  const [worker] = fleet.workers;
  await messageOf(await send(fleet));
  const { health } = fleet.app.runtime.registry.get(worker!.url)!;
  await worker!.setFaults(['refuse']);
  await eventually(() => !health.healthy);
  await worker!.setFaults([]);
  await eventually(() => health.healthy);
  await messageOf(await send(fleet));
  assert.equal(askedOf(worker).filter((path) => path === '/v1/messages').length, 2);
});

test('pass: the worker’s 404 is the client’s', async () => {
  await using fleet = await startFleet({ workers: [OLD], router: { anthropic: 'pass' } });
  const response = await send(fleet);
  assert.equal(response.status, 404);
  assert.ok(fleet.all.every((worker) => !askedOf(worker).includes('/v1/chat/completions')));
  await response.text();
});

test('translate: a worker that has the route is not asked for it', async () => {
  await using fleet = await startFleet({ workers: [NEW], router: { anthropic: 'translate' } });
  await messageOf(await send(fleet));
  assert.ok(fleet.all.every((worker) => !askedOf(worker).includes('/v1/messages')));
});

test('a failed worker is replaced, and the next one gets its own words', async () => {
  await using fleet = await startFleet({
    workers: [{ ...OLD, faults: ['reset:path=/v1/chat/completions'] }, NEW],
    router: { policy: 'round_robin', retry: { initialBackoffMs: 1 } },
  });
  for (let i = 0; i < 4; i += 1) await messageOf(await send(fleet));
});

test('a message finds what a chat has left in a cache, and a chat what a message has', async () => {
  await using fleet = await startFleet({ workers: [OLD, OLD, OLD], router: { policy: 'cache_aware' } });
  const tools = [{ name: 'now', description: 'The time.', input_schema: { type: 'object', properties: {} } }];
  const chatTools = [
    {
      type: 'function',
      function: { name: 'now', description: 'The time.', parameters: { type: 'object', properties: {} } },
    },
  ];
  const asMessage = {
    tools,
    system: [{ type: 'text', text: 'Be brief.' }],
    messages: [
      { role: 'user', content: [{ type: 'text', text: LONG }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'now', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: `noon ${LONG}` }] },
    ],
  };
  const asChat = {
    tools: chatTools,
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: LONG },
      {
        role: 'assistant',
        tool_calls: [{ id: 't1', type: 'function', function: { name: 'now', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 't1', content: `noon ${LONG}` },
    ],
  };
  const first = await chat(fleet, asChat);
  await first.text();
  const response = await send(fleet, asMessage);
  const { usage } = await messageOf(response);
  assert.equal(workerOf(response), workerOf(first));
  const decision = await fleet.decision(({ route }) => route === '/v1/messages');
  await (await chat(fleet, asChat)).text();
  const again = await fleet.decision(({ route }) => route === '/v1/chat/completions');
  assert.ok((decision.predicted_cached_tokens ?? 0) > 1000);
  assert.equal(decision.predicted_cached_tokens, again.predicted_cached_tokens);
  // The worker agrees: it has computed the same prompt.
  assert.ok(((usage as { cache_read_input_tokens?: number }).cache_read_input_tokens ?? 0) > 1000);
});

test('a tenant pays for a translated message what it took', async () => {
  await using fleet = await startFleet({
    workers: [OLD],
    router: { apiKeys: [{ name: 'a', key: 'sk-a', tokensPerMinute: 100_000 }] },
  });
  const init = { headers: { 'x-api-key': 'sk-a' } };
  for (const stream of [false, true]) {
    const response = await post(fleet, '/v1/messages', { ...MESSAGE, stream }, init);
    assert.equal(response.status, 200);
    const text = await response.text();
    const decision = await fleet.decision((one) => one.stream === stream);
    assert.equal(decision.charged_tokens, (decision.prompt_tokens ?? 0) + 4, text);
    assert.equal(decision.tokens_estimated, undefined);
  }
  const seen = fleet.workers[0]!.seen.filter(({ method }) => method === 'POST');
  assert.ok(seen.every(({ headers }) => !JSON.stringify(headers).includes('sk-a')));
});

test('the model that the client asked for is in the answer where that is configured', async () => {
  await using fleet = await startFleet({
    workers: [OLD],
    router: { modelRules: [{ match: 'claude', rewrite: 'sim-model' }], responseModel: 'requested' },
  });
  assert.equal((await messageOf(await send(fleet, { model: 'claude' })))['model'], 'claude');
  const text = await (await send(fleet, { model: 'claude', stream: true })).text();
  assert.match(text, /"model":"claude"/);
  assert.doesNotMatch(text, /sim-model/);
});

test('a compressed body is translated like a plain one', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const body = new Response(
    new Blob([JSON.stringify(MESSAGE)]).stream().pipeThrough(new CompressionStream('gzip')),
  );
  await messageOf(
    await fetch(`${fleet.url}/v1/messages`, {
      ...{ method: 'POST', body: await body.bytes() },
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    }),
  );
});

test('a long body, and an image in it, are translated to the byte', async () => {
  await using fleet = await startFleet({ workers: [OLD] });
  const data = 'A'.repeat(3 * 1024 * 1024);
  const content = [
    { type: 'text', text: 'What is this? "\u00e9\u{1f600}"' },
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data } },
    { type: 'text', text: 'y'.repeat(100_000) },
  ];
  await messageOf(await send(fleet, { messages: [{ role: 'user', content }] }));
  const sent = fleet.workers[0]!.seen.find(({ url }) => url === '/v1/chat/completions');
  assert.deepEqual(JSON.parse(String(sent?.body)).messages[0].content, [
    content[0],
    { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } },
    content[2],
  ]);
});
