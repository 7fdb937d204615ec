/** A check that a plugin brings: it allows, rejects and transforms like one that is asked over HTTP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definePlugin, type HookPlugin, type Plugin, type PluginHookRequest } from '../../src/index.ts';
import { chat, post, readBody, streamChat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { examplePlugin } from '../support/plugins.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

function look(hook: HookPlugin): Plugin {
  return definePlugin({ apiVersion: 1, hooks: { look: hook } });
}

const SECRETS = { name: 'secrets', plugin: 'no_secrets', transform: true } as const;

test('a body is transformed on its way, streamed or not, and a bad one is refused', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { plugins: [await examplePlugin('no-secrets')], preRoutingHooks: [SECRETS] },
  });
  for (const stream of [false, true]) {
    const messages = [{ role: 'user', content: 'write to jane.doe@example.org' }];
    const response = await chat(fleet, { messages, stream });
    assert.equal(response.headers.get('x-vllm-router-hooks'), 'secrets:transformed');
    await response.text();
    const body = JSON.parse(worker.last.body.toString());
    assert.deepEqual(
      [body.messages[0].content, body.stream, body.model],
      ['write to <email>', stream, 'sim-model'],
    );
  }
  const sent = worker.received.length;
  const refused = await post(fleet, '/v1/completions', { model: 'm', prompt: '-----BEGIN PRIVATE KEY-----' });
  assert.equal(refused.status, 403);
  assert.match(await refused.text(), /the prompt holds a private key/);
  assert.equal(worker.received.length, sent);
  const plain = await chat(fleet);
  assert.equal(plain.headers.get('x-vllm-router-hooks'), 'secrets');
});

test('it sees the request, of the headers those that it is given, and its parameters', async () => {
  const seen: Record<string, unknown>[] = [];
  const plugin = look({
    parameters: (raw) => raw,
    create: (parameters) => ({
      run: (request: PluginHookRequest) => {
        const { route, model, stream, contentType, requestId } = request;
        const [session, key] = [request.header('X-Session-Id'), request.header('authorization')];
        seen.push({
          route,
          model,
          stream,
          contentType,
          requestId,
          session,
          key,
          parameters,
          json: request.json(),
        });
        return { action: 'allow' };
      },
    }),
  });
  await using fleet = await startFleet({
    router: {
      plugins: [plugin],
      preRoutingHooks: [
        { name: 'h', plugin: 'look', parameters: { deep: [1] }, forwardHeaders: ['X-Session-Id'] },
      ],
    },
  });
  const headers = { 'x-session-id': 's', authorization: 'Bearer secret', 'x-request-id': 'r-1' };
  await (await post(fleet, '/v1/completions', { model: 'sim-model', prompt: 'hi' }, { headers })).text();
  assert.deepEqual(seen, [
    {
      ...{ route: '/v1/completions', model: 'sim-model', stream: false, contentType: 'application/json' },
      ...{ requestId: 'r-1', session: 's', key: undefined, parameters: { deep: [1] } },
      json: { model: 'sim-model', prompt: 'hi' },
    },
  ]);
});

test('what it throws and answers that cannot be used are errors, and on_error decides', async () => {
  const answers: unknown[] = [
    'yes',
    { action: 7 },
    { action: 'reject', reason: 7 },
    { action: 'transform', body: 'x' },
  ];
  const odd = [...answers];
  const plugin = look({
    create: () => ({
      run: () => {
        if (odd.length === 0) throw new Error('out of order');
        return odd.shift() as { action: 'allow' };
      },
    }),
  });
  const hook = {
    name: 'h',
    plugin: 'look',
    transform: true,
    circuitBreaker: { failureThreshold: 100 },
  } as const;
  await using fleet = await startFleet({
    router: { plugins: [plugin], preRoutingHooks: [{ ...hook, onError: 'block' }] },
  });
  for (let i = 0; i < answers.length + 2; i += 1) {
    const response = await chat(fleet);
    assert.equal(response.status, 502, await response.text());
  }
  const metrics = await scrape(fleet);
  const count = (kind: string): number =>
    metrics.value('vllm_router_plugin_failures_total', { plugin: 'look', kind });
  assert.deepEqual([count('invalid'), count('threw')], [answers.length, 2]);
  await using lenient = await startFleet({
    router: { plugins: [plugin], preRoutingHooks: [{ ...hook, onError: 'pass' }] },
  });
  const passed = await streamChat(lenient);
  assert.deepEqual([passed.status, passed.headers.get('x-vllm-router-hooks')], [200, 'h:error']);
  await readBody(passed);
});

test('it is cut at its time, and told so', async () => {
  let told = false;
  const plugin = look({
    create: () => ({
      run: (_request, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            told = true;
            reject(new Error('aborted'));
          });
        }),
    }),
  });
  await using fleet = await startFleet({
    router: { plugins: [plugin], preRoutingHooks: [{ name: 'h', plugin: 'look', timeoutMs: 20 }] },
  });
  const response = await chat(fleet);
  assert.deepEqual([response.status, response.headers.get('x-vllm-router-hooks')], [200, 'h:timeout']);
  await response.text();
  await eventually(() => told);
  assert.equal((await scrape(fleet)).sum('vllm_router_plugin_failures_total'), 0);
});

test('one that holds the process up three times is an error from then on', async () => {
  let asked = 0;
  const plugin = look({
    create: () => ({
      run: () => {
        asked += 1;
        const until = performance.now() + 6;
        while (performance.now() < until);
        return { action: 'allow' };
      },
    }),
  });
  await using fleet = await startFleet({
    router: {
      plugins: [plugin],
      preRoutingHooks: [{ name: 'h', plugin: 'look', overrunMs: 5, onError: 'block' }],
    },
  });
  const statuses = [];
  for (let i = 0; i < 5; i += 1) {
    const response = await chat(fleet);
    statuses.push(response.status);
    await response.text();
  }
  assert.deepEqual([statuses, asked], [[200, 200, 200, 502, 502], 3]);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_plugin_failures_total', { plugin: 'look', kind: 'overrun' }), 3);
});
