/** A request goes to a worker that serves its model. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, post, workerOf } from '../support/chat.ts';
import { answeringWorkers } from '../support/fleet-shape.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const MESSAGES = [{ role: 'user', content: 'hi' }];

for (const policy of [
  'round_robin',
  'power_of_two',
  'consistent_hash',
  'cache_aware',
  'least_work',
] as const) {
  test(`${policy}: two models on two workers, one on both`, async () => {
    await using fleet = await startFleet({
      workers: [{ models: ['a', 'both'] }, { models: ['b', 'both'] }],
      router: { policy },
    });
    const [first, second] = fleet.workers.map(({ url }) => url);
    const served = new Set<string | null>();
    for (let i = 0; i < 3; i += 1) {
      assert.equal(workerOf(await chat(fleet, { model: 'a' })), first);
      assert.equal(workerOf(await chat(fleet, { model: 'b' })), second);
    }
    // So many that no hash puts all of them on one worker.
    for (let i = 0; i < 24; i += 1) {
      served.add(
        workerOf(
          await chat(fleet, {
            model: 'both',
            user: `u${i}`,
            messages: [{ role: 'user', content: `question ${i}` }],
          }),
        ),
      );
    }
    assert.deepEqual(served, new Set([first, second]));
    const decision = await fleet.decision(({ model }) => model === 'a');
    assert.deepEqual(
      decision.candidates?.map(({ worker }) => worker),
      [first],
    );
  });
}

test('adapters are models', async () => {
  await using fleet = await startFleet({ workers: [{}, { loras: ['my-adapter'] }] });
  for (let i = 0; i < 4; i += 1)
    assert.equal(workerOf(await chat(fleet, { model: 'my-adapter' })), fleet.workers[1]?.url);
});

test('a model that appears at a worker later is found at the next check', async () => {
  await using fleet = await startFleet({ router: { healthCheck: { checkIntervalSecs: 0.05 } } });
  const [, second] = fleet.workers;
  assert.ok(second);
  await fetch(`${second.url}/v1/load_lora_adapter`, {
    method: 'POST',
    body: '{"lora_name":"new","lora_path":"/p"}',
  });
  await eventually(() => fleet.app.runtime.registry.membersFor('new').listed);
  for (let i = 0; i < 4; i += 1) assert.equal(workerOf(await chat(fleet, { model: 'new' })), second.url);
});

test('a model that no worker lists may go to any of them: the worker is the judge', async () => {
  await using first = await startScriptedWorker();
  await using second = await startScriptedWorker();
  await using fleet = await startRouter([first, second], { router: { policy: 'round_robin' } });
  for (let i = 0; i < 4; i += 1)
    assert.equal((await chat(fleet, { model: 'served-but-not-listed' })).status, 200);
  assert.deepEqual([first.received.length, second.received.length], [2, 2]);
});

test('unknown_model reject: 404 in the caller’s dialect, and no worker hears of it', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { unknownModel: 'reject' } });
  const openai = await chat(fleet, { model: 'nobody-has-this' });
  assert.equal(openai.status, 404);
  assert.deepEqual(await openai.json(), {
    error: {
      message: 'The model "nobody-has-this" does not exist.',
      type: 'not_found_error',
      param: 'model',
      code: 'model_not_found',
    },
  });
  const anthropic = await post(fleet, '/v1/messages', {
    model: 'nobody-has-this',
    messages: MESSAGES,
    max_tokens: 1,
  });
  assert.equal(anthropic.status, 404);
  assert.deepEqual(await anthropic.json(), {
    type: 'error',
    error: {
      type: 'not_found_error',
      message: 'The model "nobody-has-this" does not exist.',
      code: 'model_not_found',
    },
  });
  assert.deepEqual(worker.received, []);
});

test('unknown_model reject: known models and requests without one pass', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { unknownModel: 'reject' } });
  assert.equal((await chat(fleet)).status, 200);
  assert.equal((await post(fleet, '/v1/embeddings', { input: 'a' })).status, 200);
  assert.equal((await post(fleet, '/unknown', { model: 'nobody-has-this' })).status, 200);
});

test('a model whose only worker is down is not sent to workers that do not have it', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['a'] }, { models: ['b'] }],
    router: { healthCheck: { checkIntervalSecs: 0.05, failureThreshold: 1 }, disableRetries: true },
  });
  const [first, second] = fleet.workers;
  await first?.setFaults(['refuse']);
  const [worker] = answeringWorkers(fleet);
  await eventually(() => worker?.health.healthy === false);
  const response = await chat(fleet, { model: 'a' });
  assert.equal(response.status, 503);
  assert.equal(JSON.parse(await response.text()).error.code, 'no_worker_available');
  assert.equal(second?.counts.request, second?.seen.filter(({ method }) => method === 'GET').length);
});

test('the model’s name is not a metric label unless a worker lists it', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let i = 0; i < 3; i += 1) response.write(`data: {"n":${i}}\n\n`);
    response.end('data: [DONE]\n\n');
  });
  await using fleet = await startRouter([worker]);
  for (const model of ['sim-model', 'made-up-by-a-client'])
    await (await chat(fleet, { model, stream: true })).text();
  await fleet.decision(({ model }) => model === 'made-up-by-a-client');
  const metrics = await fleet.metrics();
  assert.match(metrics, /model="sim-model"/);
  assert.match(metrics, /model="other"/);
  assert.doesNotMatch(metrics, /made-up-by-a-client/);
});
