/** A worker that does not know a model that it listed has its list read again, not only at the next health check. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, workerOf } from '../support/chat.ts';
import { eventually } from '../support/fleet.ts';
import { answerJson, startRouter, startScriptedWorker, type Script } from '../support/scripted-worker.ts';

const UNKNOWN =
  '{"error":{"message":"The model `lora` does not exist.","type":"NotFoundError","param":"model","code":404}}';

/** Answers for these models alone, as vLLM does. */
function only(models: readonly string[]): Script {
  return (response, { body }) => {
    const { model } = JSON.parse(body.toString()) as { model: string };
    if (models.includes(model)) answerJson(response);
    else response.writeHead(404, { 'content-type': 'application/json' }).end(UNKNOWN);
  };
}

test('requests go where the model still is', async () => {
  const models = ['base', 'lora'];
  await using unloading = await startScriptedWorker(only(models), { models });
  await using staying = await startScriptedWorker(only(['base', 'lora']), { models: ['base', 'lora'] });
  await using fleet = await startRouter([unloading, staying], { router: { policy: 'round_robin' } });
  models.pop();
  const worker = fleet.app.runtime.registry.get(unloading.url);
  let answer = await chat(fleet, { model: 'lora' });
  if (workerOf(answer) !== unloading.url) answer = await chat(fleet, { model: 'lora' });
  // The client hears what the worker says.
  assert.deepEqual([answer.status, await answer.text()], [404, UNKNOWN]);
  await eventually(() => worker?.models.has('lora') === false);
  assert.ok(worker?.health.healthy);
  for (let turn = 0; turn < 4; turn += 1)
    assert.equal(workerOf(await chat(fleet, { model: 'lora' })), staying.url);
});

test('any number of such answers come to one reading', async () => {
  const models = ['base', 'lora'];
  await using unloading = await startScriptedWorker(only(['base']), { models });
  await using fleet = await startRouter([unloading]);
  const lists = (): number => unloading.probes.filter(({ url }) => url === '/v1/models').length;
  const before = lists();
  const answers = await Promise.all(Array.from({ length: 50 }, () => chat(fleet, { model: 'lora' })));
  assert.ok(answers.every(({ status }) => status === 404));
  await eventually(() => lists() > before);
  assert.equal(lists(), before + 1);
});

test('a model that the worker never listed, and a stored response, are no reason', async () => {
  await using worker = await startScriptedWorker(only([]), { models: ['base'] });
  await using fleet = await startRouter([worker]);
  const doubts: string[] = [];
  fleet.app.runtime.registry.on(({ type }) => doubts.push(type));
  assert.equal((await chat(fleet, { model: 'other' })).status, 404);
  const stored = { model: 'base', input: 'a', previous_response_id: 'resp_1' };
  const init = { method: 'POST', body: JSON.stringify(stored) };
  assert.equal((await fetch(`${fleet.url}/v1/responses`, init)).status, 404);
  assert.deepEqual(doubts, []);
  assert.equal((await chat(fleet, { model: 'base' })).status, 404);
  assert.deepEqual(doubts, ['models_doubted']);
});
