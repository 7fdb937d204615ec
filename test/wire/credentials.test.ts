/** Whose keys go where. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRouter, startScriptedWorker, valuesOf } from '../support/scripted-worker.ts';

const CLIENT = {
  authorization: 'Bearer of-the-client',
  'x-api-key': 'of-the-client',
  cookie: 'session=of-the-client',
};
const NEVER = { 'x-router-key': 'k1', 'x-admin-key': 'k2', 'x-vllm-tenant': 'k3' };

function complete(url: string): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { ...CLIENT, ...NEVER, 'x-other': 'kept' },
    body: '{"model":"sim-model","prompt":"hi"}',
  });
}

test('a worker without a key gets the client’s credentials, never the router’s', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  assert.equal((await complete(fleet.url)).status, 200);
  const { headers } = worker.last;
  for (const [name, value] of Object.entries(CLIENT)) assert.equal(headers[name], value);
  for (const name of Object.keys(NEVER)) assert.equal(headers[name], undefined, name);
  assert.equal(headers['x-other'], 'kept');
  for (const { headers: probe } of worker.probes) assert.equal(probe.authorization, undefined);
});

test('a worker with a key gets that key and nothing of the client’s', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { apiKey: 'of-the-worker' } });
  assert.equal((await complete(fleet.url)).status, 200);
  const { headers, rawHeaders } = worker.last;
  assert.deepEqual(valuesOf(rawHeaders, 'authorization'), ['Bearer of-the-worker']);
  for (const name of ['x-api-key', 'cookie', ...Object.keys(NEVER)])
    assert.equal(headers[name], undefined, name);
  assert.equal(headers['x-other'], 'kept');
});

test('health checks and the list of models are asked for with the key', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { apiKey: 'of-the-worker' } });
  assert.equal(fleet.app.runtime.registry.workers.length, 1);
  const paths = new Set(worker.probes.map(({ url }) => url));
  assert.ok(paths.has('/health') && paths.has('/v1/models'));
  for (const { headers } of worker.probes) assert.equal(headers.authorization, 'Bearer of-the-worker');
});

test('a worker’s own key goes before the common one, and to nobody else', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a'] });
  await using second = await startScriptedWorker(undefined, { models: ['b'] });
  await using fleet = await startRouter([first, second], {
    router: { apiKey: 'common', workerApiKeys: { [first.url]: 'of-the-first' } },
  });
  for (const model of ['a', 'b']) {
    await fetch(`${fleet.url}/v1/completions`, {
      method: 'POST',
      headers: CLIENT,
      body: JSON.stringify({ model, prompt: 'hi' }),
    });
  }
  assert.equal(first.last.headers.authorization, 'Bearer of-the-first');
  assert.equal(second.last.headers.authorization, 'Bearer common');
  assert.ok(first.probes.every(({ headers }) => headers.authorization === 'Bearer of-the-first'));
  assert.ok(second.probes.every(({ headers }) => headers.authorization === 'Bearer common'));
});

test('a key for the beginning of a URL goes to every worker below it, and to no other port', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a'], prefix: '/team/a' });
  await using second = await startScriptedWorker(undefined, { models: ['b'] });
  const otherPort = second.url.slice(0, -1);
  await using fleet = await startRouter([first, second], {
    router: {
      apiKey: 'common',
      workerApiKeys: { [first.url.replace('/a', '')]: 'of-the-team', [otherPort]: 'of-another-port' },
    },
  });
  for (const model of ['a', 'b'])
    await fetch(`${fleet.url}/v1/completions`, {
      method: 'POST',
      headers: CLIENT,
      body: JSON.stringify({ model, prompt: 'hi' }),
    });
  assert.equal(first.last.headers.authorization, 'Bearer of-the-team');
  assert.equal(second.last.headers.authorization, 'Bearer common');
});

test('a client’s credentials reach only those workers that have no key of their own', async () => {
  await using keyed = await startScriptedWorker(undefined, { models: ['a'] });
  await using open = await startScriptedWorker(undefined, { models: ['b'] });
  await using fleet = await startRouter([keyed, open], { router: { workerApiKeys: { [keyed.url]: 'key' } } });
  for (const model of ['a', 'b']) {
    await fetch(`${fleet.url}/v1/completions`, {
      method: 'POST',
      headers: CLIENT,
      body: JSON.stringify({ model, prompt: 'hi' }),
    });
  }
  assert.equal(keyed.last.headers.authorization, 'Bearer key');
  assert.equal(keyed.last.headers.cookie, undefined);
  assert.equal(open.last.headers.authorization, CLIENT.authorization);
  assert.equal(open.last.headers.cookie, CLIENT.cookie);
});

test('the generated health check uses the key too', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { apiKey: 'of-the-worker' } });
  assert.equal((await fetch(`${fleet.url}/health_generate`, { headers: CLIENT })).status, 200);
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'authorization'), ['Bearer of-the-worker']);
  assert.equal(worker.last.url, '/v1/completions');
});
