/** A router whose workers are providers, all of them: `--backend openai`, `mode: {type: openai}`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, post } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { startProvider, type Provider } from '../support/provider.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';

const ALL = 'there is no fleet';
const GPT = { model: 'gpt-4o-mini' };

function gateway(provider: Pick<Provider, 'url'>, router: RouterOptions = {}): Promise<Fleet> {
  return startFleet({
    workers: [],
    onlyRegular: ALL,
    extraWorkerUrls: [provider.url],
    router: { backend: 'openai', apiKey: 'sk-provider', ...router },
  });
}

test('backend openai makes the router a gateway to the provider, ready at once', async () => {
  await using provider = await startProvider();
  await using fleet = await gateway(provider);
  assert.equal((await fetch(`${fleet.url}/readiness`)).status, 200);
  assert.equal((await fetch(`${fleet.url}/health`)).status, 200);
  assert.equal((await fetch(`${fleet.url}/health_generate`)).status, 200);
  assert.equal(provider.asked.length, 0, 'no probes');
  const response = await chat(fleet, GPT);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-external'), new URL(provider.url).host);
  assert.equal((await fleet.decision()).reason, 'mode');
  const info = (await (await fetch(`${fleet.url}/get_server_info`)).json()) as { router_type: string };
  assert.equal(info.router_type, 'openai');
});

test('routes that only vLLM has are not there', async () => {
  await using provider = await startProvider();
  await using fleet = await gateway(provider);
  for (const path of ['/tokenize', '/v1/rerank', '/generate', '/v1/files', '/v1/responses/x']) {
    const init = { method: path === '/v1/responses/x' ? 'GET' : 'POST' };
    const body = init.method === 'POST' ? '{"model":"m","messages":[]}' : null;
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(fleet.url + path, { ...init, body, headers });
    assert.equal(response.status, 404, path);
    assert.match(await response.text(), /only vLLM has it|route_not_found|not_found_error/, path);
  }
  assert.equal(provider.asked.length, 0);
});

test('a path that climbs goes nowhere', async () => {
  await using provider = await startProvider();
  await using fleet = await gateway(provider);
  for (const path of [
    '/v1/chat/completions/../../../admin',
    '/v1/%2e%2e/%2e%2e/secret',
    '/v1/responses/%2e%2e',
  ]) {
    const response = await post(fleet, path, GPT);
    assert.ok([400, 404, 405].includes(response.status), `${path}: ${response.status}`);
  }
  assert.equal(provider.asked.length, 0);
});

test('tenants need allow_external there, too', async () => {
  await using provider = await startProvider();
  await using fleet = await gateway(provider, {
    apiKeys: [
      { name: 'in', key: 'k-in' },
      { name: 'out', key: 'k-out', allowExternal: true },
    ],
  });
  const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });
  assert.equal((await chat(fleet, GPT, as('k-in'))).status, 403);
  assert.equal((await chat(fleet, GPT, as('k-out'))).status, 200);
  assert.equal(provider.asked.length, 1);
});

test('several providers are tried in their order, with a key that is bound to each', async () => {
  await using first = await startProvider({ key: 'sk-1' });
  await using second = await startProvider({ key: 'sk-2' });
  await using fleet = await startFleet({
    workers: [],
    onlyRegular: ALL,
    extraWorkerUrls: [first.url],
    router: {
      backend: 'openai',
      apiKey: 'sk-general',
      workerApiKeys: { [new URL(first.url).origin]: 'sk-1' },
      workers: [{ url: second.url, workerType: 'external', apiKey: 'sk-2' }],
    },
  });
  assert.equal((await chat(fleet, GPT)).status, 200);
  assert.equal(first.last.headers.authorization, 'Bearer sk-1');
  first.instead = (response) => {
    response.writeHead(429, { 'retry-after': '60' }).end();
    return true;
  };
  assert.equal((await chat(fleet, GPT)).status, 200);
  assert.equal(second.last.headers.authorization, 'Bearer sk-2');
});
