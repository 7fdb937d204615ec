/** `GET /v1/models/{id}` is the router's to answer, like the list, and says no more than that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { ask } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

interface Answer {
  readonly status: number;
  readonly json: { readonly id?: string; readonly error?: Record<string, unknown> };
}

async function get(fleet: Fleet, id: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(`${fleet.url}/v1/models/${id}`, init);
  return { status: response.status, json: (await response.json()) as Answer['json'] };
}

const NAMED = 'meta-llama/Llama-3.1-8B';

test('a model of any worker, as that worker describes it; workers are not asked', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a', NAMED] });
  await using second = await startScriptedWorker(undefined, { models: ['b', 'Modèle 1'] });
  await using fleet = await startRouter([first, second]);
  const card = (id: string) => ({ id, object: 'model', root: `/models/${id}`, max_model_len: 4096 });
  for (const id of ['a', 'b', NAMED, encodeURIComponent(NAMED), encodeURIComponent('Modèle 1'), 'b/', '%61'])
    assert.deepEqual(await get(fleet, id), {
      status: 200,
      json: card(decodeURIComponent(id).replace(/\/$/, '')),
    });
  const head = await ask(fleet.port, 'HEAD /v1/models/a?x=y HTTP/1.1\r\nHost: r\r\n\r\n', 'HEAD');
  assert.deepEqual([head.status, head.body.length], [200, 0]);
  assert.deepEqual([first.received, second.received], [[], []]);
});

test('another name that a rule gives is listed, too; a pattern is no name', async () => {
  await using worker = await startScriptedWorker(undefined, { models: ['a'] });
  await using fleet = await startRouter([worker], {
    router: {
      modelRules: [
        { match: 'gpt-4', rewrite: 'a' },
        { match: 'openai/*', rewrite: 'a' },
        { match: 'dangling', rewrite: 'nowhere' },
      ],
    },
  });
  const list = (await (await fetch(`${fleet.url}/v1/models`)).json()) as { data: { id: string }[] };
  for (const card of list.data) assert.deepEqual((await get(fleet, card.id)).json, card);
  assert.deepEqual(
    list.data.map(({ id }) => id),
    ['a', 'gpt-4'],
  );
  for (const id of ['openai/x', 'openai/*', 'dangling', 'nowhere'])
    assert.equal((await get(fleet, id)).status, 404, id);
});

test('a name that nobody lists is 404 as OpenAI has it, with the name that may have been meant', async () => {
  await using worker = await startScriptedWorker(undefined, { models: ['qwen-7b'] });
  await using fleet = await startRouter([worker]);
  assert.deepEqual(await get(fleet, 'qwen-8b'), {
    status: 404,
    json: {
      error: {
        message: 'The model "qwen-8b" does not exist. Did you mean "qwen-7b"?',
        type: 'not_found_error',
        param: 'model',
        code: 'model_not_found',
      },
    },
  });
  for (const id of ['__proto__', 'constructor', '%', 'a/b/c', 'x'.repeat(3000)])
    assert.equal((await get(fleet, id)).status, 404, id);
  assert.equal(worker.received.length, 0);
});

test('a name that the caller may not use is 404 in the same words as one that nobody lists', async () => {
  await using worker = await startScriptedWorker(undefined, { models: ['qwen-7b', 'llama-8b'] });
  await using fleet = await startRouter([worker], {
    router: {
      apiKeys: [
        { name: 'all', key: 'sk-all' },
        { name: 'llama', key: 'sk-llama', allowedModels: ['llama-*', 'other'] },
      ],
      modelRules: [
        { match: 'other', rewrite: 'qwen-7b' },
        { match: 'mine', rewrite: 'llama-8b' },
      ],
    },
  });
  const as = (name: string) => ({ headers: { authorization: `Bearer sk-${name}` } });
  for (const id of ['qwen-7b', 'other', 'mine', 'nothing'])
    assert.deepEqual(
      (await get(fleet, id, as('llama'))).json.error?.['message'],
      `The model "${id}" does not exist.`,
    );
  assert.equal((await get(fleet, 'llama-8b', as('llama'))).status, 200);
  for (const id of ['qwen-7b', 'other', 'mine']) assert.equal((await get(fleet, id, as('all'))).status, 200);
  assert.equal((await get(fleet, 'llama-8b')).status, 401);
});

test('503 as long as no model is known, but in a gateway', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['refuse'] }], waitForWorkers: false });
  const { status, json } = await get(fleet, 'a');
  assert.deepEqual([status, json.error?.['code']], [503, 'no_worker_available']);
  await using gateway = await startFleet({ workers: [], router: { enableIgw: true }, waitForWorkers: false });
  assert.equal((await get(gateway, 'a')).status, 404);
});

test('other methods go to a worker, as on every path that is not the router’s', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  assert.equal((await fetch(`${fleet.url}/v1/models/a`, { method: 'DELETE' })).status, 200);
  assert.equal(worker.last.url, '/v1/models/a');
});
