/** Which models clients see of providers, how operators register and see them, and what nobody sees. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf, settledWorker, type Parsed } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { outside } from '../support/external.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { startProvider } from '../support/provider.ts';

async function modelsFor(fleet: Fleet, headers: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const answer: Parsed = await (await fetch(`${fleet.url}/v1/models`, { headers })).json();
  return answer.data.map(({ id }: { id: string }) => id).toSorted();
}

test('models of providers are listed to those who may have them, and only those that a rule leads to', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    workers: [{ models: ['sim-model'] }],
    router: {
      workers: [outside(provider, { models: ['gpt-4o-mini', 'sim-model', 'unled'] })],
      modelRules: [
        { match: 'gpt-*', external: 'outside', when: 'always' },
        { match: 'sim-model', external: 'outside' },
      ],
      apiKeys: [
        { name: 'in', key: 'k-in' },
        { name: 'out', key: 'k-out', allowExternal: true },
        { name: 'few', key: 'k-few', allowExternal: true, allowedModels: ['sim-*'] },
      ],
    },
  });
  const as = (key: string): Promise<string[]> => modelsFor(fleet, { authorization: `Bearer ${key}` });
  assert.deepEqual(await as('k-out'), ['gpt-4o-mini', 'sim-model']);
  assert.deepEqual(await as('k-in'), ['sim-model']);
  assert.deepEqual(await as('k-few'), ['sim-model']);
});

test('models: fetch reads the list once, under the prefix; a failure is said, and no model of it is offered', async () => {
  await using provider = await startProvider({ models: ['acme/gpt-1', 'acme/gpt-2', 'other/x'] });
  await using fleet = await startFleet({
    router: {
      workers: [outside(provider, { models: 'fetch', modelPrefix: 'acme/' })],
      modelRules: [{ match: 'gpt-*', external: 'outside', when: 'always' }],
    },
  });
  await eventually(() => fleet.app.runtime.registry.externals[0]?.models.size === 2);
  assert.deepEqual((await modelsFor(fleet)).slice(0, 2), ['gpt-1', 'gpt-2']);
  assert.equal((await chat(fleet, { model: 'gpt-1' })).status, 200);
  assert.equal(provider.last.json['model'], 'acme/gpt-1');
  assert.equal((await chat(fleet, { model: 'gpt-3' })).status, 503);
  assert.equal(provider.asked.filter(({ url }) => url.endsWith('/models')).length, 1);
});

test('an operator sees what a provider is and whether it rests, and neither its key nor its headers', async () => {
  await using provider = await startProvider();
  await using fleet = await startFleet({
    router: {
      workers: [outside(provider, { headers: { 'X-Secret': 'sesame' }, organization: 'org-hidden' })],
      modelRules: [{ match: 'gpt-*', external: 'outside', when: 'always' }],
    },
  });
  provider.instead = (response) => {
    response.writeHead(429, { 'retry-after': '60' }).end();
    return true;
  };
  assert.equal((await chat(fleet, { model: 'gpt-4o-mini' })).status, 429);
  const admin = adminOf(fleet);
  const { body } = await admin('GET', `/workers/${encodeURIComponent(provider.url)}`);
  assert.equal(body.worker_type, 'external');
  assert.equal(body.external.name, 'outside');
  assert.equal(body.external.cooling_down_status, 429);
  assert.ok(body.external.cooling_down_secs > 30);
  const config = await admin('GET', '/admin/config');
  for (const secret of ['sk-provider', 'sesame'])
    for (const shown of [body, config.body]) assert.ok(!JSON.stringify(shown).includes(secret), secret);
});

test('a backend is registered with the admin key and not without, and nothing is asked of it', async () => {
  await using provider = await startProvider();
  const entry = {
    url: provider.url,
    worker_type: 'external',
    api_key: 'sk-provider',
    external: { name: 'outside' },
  };
  const router = { modelRules: [{ match: 'gpt-*', external: 'outside', when: 'always' as const }] };
  {
    await using open = await startFleet({ router: { ...router, enableIgw: true } });
    const refused = await adminOf(open)('POST', '/workers', entry);
    assert.equal(refused.status, 403);
  }
  await using fleet = await startFleet({ router: { ...router, enableIgw: true, adminApiKey: 'sk-admin' } });
  const admin = adminOf(fleet, 'sk-admin');
  assert.equal((await admin('POST', '/workers', { ...entry, model_id: 'x' })).status, 400);
  const added = await admin('POST', '/workers', entry);
  assert.equal(added.status, 202);
  await settledWorker(admin, provider.url);
  assert.equal(provider.asked.length, 0);
  const again = await admin('POST', '/workers', { ...entry, url: `${provider.url}/other` });
  assert.equal(again.status, 409);
  const response = await chat(fleet, { model: 'gpt-4o-mini' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-vllm-router-external'), 'outside');
});
