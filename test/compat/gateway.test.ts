/** The real `openai` package in front of a gateway of two models. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BadRequestError, InternalServerError, NotFoundError } from 'openai';
import { startFleet } from '../support/fleet.ts';
import { collect, openai, rejection, user } from './clients.ts';

const ROUTER = { enableIgw: true, policy: 'random', modelPolicies: { llama3: 'least_work' } } as const;
const WORKERS = [{ models: ['qwen3-8b'] }, { models: ['llama3'], loras: ['llama3-legal'] }];

test('the models of all workers are listed, and each is served by its own', async () => {
  await using fleet = await startFleet({ workers: WORKERS, router: ROUTER });
  const client = openai(fleet);
  const models = (await collect(await client.models.list())).map(({ id }) => id);
  assert.deepEqual(models.sort(), ['llama3', 'llama3-legal', 'qwen3-8b']);
  const [qwen, llama] = fleet.workers;
  for (const [model, worker, policy] of [
    ['qwen3-8b', qwen, 'random'],
    ['llama3', llama, 'least_work'],
    ['llama3-legal', llama, 'random'],
  ] as const) {
    const request = { model, messages: user('Hello'), max_tokens: 5 };
    const { data, response } = await client.chat.completions.create(request).withResponse();
    assert.equal(data.model, model);
    assert.equal(response.headers.get('x-vllm-router-worker'), worker?.url);
    assert.equal(response.headers.get('x-vllm-router-policy'), policy);
    const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
    assert.ok(chunks.every((chunk) => chunk.model === model));
  }
});

test('what goes wrong is the exception that the client has for it', async () => {
  await using fleet = await startFleet({ workers: WORKERS, router: ROUTER });
  const client = openai(fleet);
  const unknown = client.chat.completions.create({ model: 'llama4', messages: user('Hello') });
  const notFound = await rejection(unknown, NotFoundError);
  assert.deepEqual([notFound.code, notFound.param], ['model_not_found', 'model']);
  const without = client.chat.completions.create({ model: '', messages: user('Hello') });
  const bad = await rejection(without, BadRequestError);
  assert.deepEqual([bad.code, bad.param], ['model_required', 'model']);
  const picky = client.chat.completions.create(
    { model: 'llama3', messages: user('Hello') },
    { headers: { 'x-worker-priority': '99' } },
  );
  assert.equal((await rejection(picky, InternalServerError)).code, 'no_worker_matches');
});

test('an empty gateway lists no models', async () => {
  await using fleet = await startFleet({ workers: [], router: ROUTER });
  assert.deepEqual(await collect(await openai(fleet).models.list()), []);
});
