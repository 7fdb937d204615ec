/** Services that look at a request before it is routed: they let it pass, refuse it or put another body in its place. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { silentLog, type Log } from '../../src/observe/log.ts';
import { adminOf } from '../support/admin.ts';
import { chat, CHAT, post, readBody, streamChat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';
import { ALLOW, startHook, transform } from '../support/hook-service.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const HOOKS = 'x-vllm-router-hooks';

describe('a request that hooks allow', () => {
  for (const stream of [false, true])
    test(`goes on as it came, stream ${stream}, and says who looked at it`, async () => {
      await using first = await startHook();
      await using second = await startHook();
      await using fleet = await startFleet({
        router: {
          preRoutingHooks: [
            { name: 'pii', url: first.url },
            { name: 'safety', url: second.url },
          ],
        },
      });
      const response = await chat(fleet, { stream });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get(HOOKS), 'pii,safety');
      assert.match(response.headers.get('server-timing') ?? '', /router;dur=.*, hooks;dur=/);
      assert.equal((await readBody(response)).whole, true);
      assert.deepEqual(JSON.parse(first.last.body.toString()), { ...CHAT, stream });
      assert.ok(first.last.body.equals(second.last.body));
      const decision = await fleet.decision();
      assert.deepEqual(decision.hooks_ran, ['pii', 'safety']);
      assert.ok((decision.hooks_ms ?? 0) > 0);
    });

  test('tells them who asks for what', async () => {
    await using hook = await startHook();
    await using fleet = await startFleet({
      router: {
        preRoutingHooks: [
          {
            ...{ name: 'guard', url: hook.url, apiKey: 'hook-key' },
            headers: { 'x-zone': 'eu' },
            forwardHeaders: ['User-Agent', 'x-absent', 'x-zone'],
          },
        ],
      },
    });
    const headers = {
      ...{ 'x-request-id': 'r-17', 'user-agent': 'test/1', 'x-zone': 'client', cookie: 'secret' },
      ...{
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        authorization: 'Bearer client',
      },
    };
    const response = await chat(fleet, { model: 'größe' }, { headers });
    await response.text();
    const { method, url, headers: got } = hook.last;
    assert.deepEqual([method, url], ['POST', '/check']);
    assert.deepEqual(
      {
        ...{ type: got['content-type'], id: got['x-request-id'], route: got['x-vllm-router-route'] },
        ...{ model: got['x-vllm-router-model'], key: got.authorization, zone: got['x-zone'] },
        ...{
          agent: got['user-agent'],
          trace: got['traceparent'],
          cookie: got.cookie,
          tenant: got['x-vllm-tenant'],
        },
      },
      {
        ...{ type: 'application/json', id: 'r-17', route: '/v1/chat/completions' },
        ...{ model: 'gr%C3%B6%C3%9Fe', key: 'Bearer hook-key', zone: 'eu' },
        ...{ agent: 'test/1', trace: headers.traceparent, cookie: undefined, tenant: undefined },
      },
    );
  });

  test('and the tenant who asks', async () => {
    await using hook = await startHook();
    await using fleet = await startFleet({
      router: {
        apiKeys: [{ name: 'red', key: 'k-red' }],
        preRoutingHooks: [{ name: 'guard', url: hook.url }],
      },
    });
    const response = await chat(fleet, {}, { headers: { authorization: 'Bearer k-red' } });
    assert.equal(response.status, 200);
    await response.text();
    assert.equal(hook.last.headers['x-vllm-tenant'], 'red');
    assert.equal(hook.last.headers.authorization, undefined);
  });

  test('uses few connections, over and over', async () => {
    await using hook = await startHook();
    await using fleet = await startFleet({ router: { preRoutingHooks: [{ name: 'guard', url: hook.url }] } });
    for (let turn = 0; turn < 10; turn += 1) await (await chat(fleet)).text();
    assert.deepEqual([hook.calls.length, hook.connections], [10, 1]);
  });

  test('may be asked about over a Unix socket', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hook-'));
    try {
      await using hook = await startHook(ALLOW, join(dir, 'h.sock'));
      await using fleet = await startFleet({
        router: { preRoutingHooks: [{ name: 'local', url: hook.url }] },
      });
      const response = await chat(fleet);
      await response.text();
      assert.equal(response.headers.get(HOOKS), 'local');
      assert.equal(hook.last.url, '/check');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test('is shown in the access line and the metrics, and the time is not the router’s own', async () => {
    await using hook = await startHook(() => new Promise((resolve) => setTimeout(() => resolve(ALLOW), 60)));
    const lines: Readonly<Record<string, unknown>>[] = [];
    const log: Log = { ...silentLog, info: (fields: object) => lines.push({ ...fields }) };
    await using fleet = await startFleet({
      log,
      router: { preRoutingHooks: [{ name: 'guard', url: hook.url }] },
    });
    await (await chat(fleet)).text();
    const { hooks_ms: waited = 0, overhead_ms: own = 0 } = await fleet.decision();
    assert.ok(waited >= 55, `${waited} ms`);
    assert.ok(own < 55, `${own} ms`);
    const line = lines.findLast(({ route }) => route === '/v1/chat/completions');
    assert.equal(line?.['hooks'], 'guard');
    assert.ok(Number(line?.['hooks_ms']) >= 55);
    const metrics = await scrape(fleet);
    assert.equal(metrics.value('vllm_router_hook_requests_total', { hook: 'guard', outcome: 'allowed' }), 1);
    assert.equal(metrics.value('vllm_router_hook_duration_seconds_count', { hook: 'guard' }), 1);
  });
});

describe('a request that a hook rejects', () => {
  for (const [onReject, status, code] of [
    ['block403', 403, 'hook_rejected'],
    ['block400', 400, 'hook_rejected_400'],
  ] as const)
    for (const stream of [false, true])
      test(`gets ${status} with the hook's reason and reaches no worker, stream ${stream}`, async () => {
        await using worker = await startScriptedWorker();
        await using first = await startHook();
        await using second = await startHook({ action: 'reject', reason: 'a secret\r\nwas found' });
        await using third = await startHook();
        await using fleet = await startRouter([worker], {
          router: {
            preRoutingHooks: [
              { name: 'one', url: first.url },
              { name: 'two', url: second.url, onReject },
              { name: 'three', url: third.url },
            ],
          },
        });
        const response = await chat(fleet, { stream });
        assert.equal(response.status, status);
        assert.equal(response.headers.get(HOOKS), 'one,two:rejected');
        assert.deepEqual(await response.json(), {
          error: { message: 'a secret was found', type: 'invalid_request_error', param: null, code },
        });
        assert.equal(worker.received.length, 0);
        assert.equal(third.calls.length, 0);
        const decision = await fleet.decision();
        assert.deepEqual(decision.hooks_ran, ['one', 'two:rejected']);
        assert.deepEqual([decision.status, decision.outcome, decision.error], [status, 'rejected', code]);
        const metrics = await scrape(fleet);
        assert.equal(
          metrics.value('vllm_router_hook_requests_total', { hook: 'two', outcome: 'rejected' }),
          1,
        );
        assert.equal(metrics.sum('vllm_router_request_errors_total', { error_type: code }), 1);
      });

  test('hears it in the words of Anthropic’s API on its routes', async () => {
    await using hook = await startHook({ action: 'reject', reason: 'no' });
    await using fleet = await startFleet({ router: { preRoutingHooks: [{ name: 'guard', url: hook.url }] } });
    const response = await post(fleet, '/v1/messages', CHAT);
    assert.equal(response.status, 403);
    assert.deepEqual(await response.json(), {
      type: 'error',
      error: { type: 'permission_error', message: 'no', code: 'hook_rejected' },
    });
  });

  test('gets a sentence where the hook gives no reason, and the beginning of one that is endless', async () => {
    await using hook = await startHook({ action: 'reject', reason: '\n\u2028 ' });
    await using fleet = await startFleet({ router: { preRoutingHooks: [{ name: 'guard', url: hook.url }] } });
    const message = async (): Promise<string> =>
      ((await (await chat(fleet)).json()) as { error: { message: string } }).error.message;
    assert.equal(await message(), 'the request was rejected by the hook guard');
    hook.answer = { action: 'reject', reason: `x${'😀'.repeat(10_000)}` };
    assert.equal((await message()).length, 1024);
    assert.ok((await message()).isWellFormed());
  });

  test('goes on all the same where that is configured', async () => {
    await using hook = await startHook({ action: 'reject', reason: 'no' });
    await using fleet = await startFleet({
      router: { preRoutingHooks: [{ name: 'watch', url: hook.url, onReject: 'pass' }] },
    });
    const response = await chat(fleet);
    assert.equal(response.status, 200);
    await response.text();
    assert.equal(response.headers.get(HOOKS), 'watch:rejected-ignored');
  });
});

describe('a body that a hook transforms', () => {
  for (const stream of [false, true])
    test(`is what later hooks and the worker get, byte for byte, stream ${stream}`, async () => {
      await using worker = await startScriptedWorker();
      const body = `{ "model":"sim-model", "seed":12345678901234567890, "x":1.0, "stream":${stream}, "messages":[{"role":"user","content":"\\u002a**"}] }`;
      await using first = await startHook((_, response) => {
        response.end(`{"action":"transform","body":${body}}`);
        return undefined;
      });
      await using second = await startHook();
      await using fleet = await startRouter([worker], {
        router: {
          preRoutingHooks: [
            { name: 'pii', url: first.url, transform: true },
            { name: 'check', url: second.url },
          ],
        },
      });
      const response = await chat(fleet, { stream });
      assert.equal(response.status, 200);
      await response.text();
      assert.equal(response.headers.get(HOOKS), 'pii:transformed,check');
      assert.equal(second.last.body.toString(), body);
      assert.equal(worker.last.body.toString(), body);
      assert.equal(worker.last.headers['content-length'], String(body.length));
    });

  test('may have numbers that are none, as Python writes them', async () => {
    await using worker = await startScriptedWorker();
    const body = '{"model":"sim-model","messages":[],"bias":[NaN,-Infinity]}';
    await using hook = await startHook((_, response) => {
      response.end(`{"action":"transform","body":${body},"score":Infinity}`);
      return undefined;
    });
    await using fleet = await startRouter([worker], {
      router: { preRoutingHooks: [{ name: 'pii', url: hook.url, transform: true, onError: 'block' }] },
    });
    const response = await chat(fleet);
    assert.equal(response.status, 200);
    await response.text();
    assert.equal(worker.last.body.toString(), body);
  });

  test('may ask for a stream, or for none', async () => {
    await using hook = await startHook(transform((body) => ({ ...body, stream: body['stream'] !== true })));
    await using fleet = await startFleet({
      router: { preRoutingHooks: [{ name: 'flip', url: hook.url, transform: true }] },
    });
    const streamed = await chat(fleet, { stream: false });
    assert.match(streamed.headers.get('content-type') ?? '', /event-stream/);
    assert.match(await streamed.text(), /\[DONE\]/);
    assert.equal((await fleet.decision()).stream, true);
    const whole = await streamChat(fleet);
    assert.match(whole.headers.get('content-type') ?? '', /json/);
    await whole.text();
    assert.equal((await fleet.decision()).stream, false);
  });

  test('may ask for another model: that one is served, and the record has both', async () => {
    await using hook = await startHook(transform((body) => ({ ...body, model: 'small' })));
    await using later = await startHook();
    await using fleet = await startFleet({
      workers: [{ models: ['large'] }, { models: ['small'] }],
      router: {
        preRoutingHooks: [
          { name: 'downgrade', url: hook.url, transform: true },
          { name: 'later', url: later.url },
        ],
      },
    });
    const response = await chat(fleet, { model: 'large' });
    assert.equal(response.status, 200);
    await response.text();
    assert.equal(response.headers.get('x-vllm-router-worker'), fleet.workers[1]?.url);
    assert.equal(response.headers.get('x-vllm-router-model'), 'small');
    assert.equal(later.last.headers['x-vllm-router-model'], 'small');
    const decision = await fleet.decision();
    assert.deepEqual([decision.requested_model, decision.model], ['large', 'small']);
    await (await post(fleet, '/v1/chat/completions', { messages: CHAT.messages })).text();
    const unnamed = await fleet.decision();
    assert.deepEqual([unnamed.requested_model, unnamed.model], [undefined, 'small']);
  });

  test('is judged by the client’s rights, and by the models there are', async () => {
    await using hook = await startHook(transform((body) => ({ ...body, model: 'large' })));
    await using fleet = await startFleet({
      workers: [{ models: ['large', 'small'] }],
      router: {
        unknownModel: 'reject',
        apiKeys: [
          { name: 'red', key: 'k-red', allowedModels: ['small'] },
          { name: 'blue', key: 'k-blue' },
        ],
        preRoutingHooks: [{ name: 'upgrade', url: hook.url, transform: true }],
      },
    });
    const ask = (key: string): Promise<Response> =>
      chat(fleet, { model: 'small' }, { headers: { authorization: `Bearer ${key}` } });
    const refused = await ask('k-red');
    assert.equal(refused.status, 403);
    assert.equal(((await refused.json()) as { error: { code: string } }).error.code, 'model_not_allowed');
    assert.equal(refused.headers.get(HOOKS), 'upgrade:transformed');
    const allowed = await ask('k-blue');
    assert.equal(allowed.status, 200);
    await allowed.text();
    hook.answer = transform((body) => ({ ...body, model: 'larger' }));
    const unknown = await ask('k-blue');
    assert.equal(unknown.status, 404);
    await unknown.text();
  });

  test('is not changed by a hook that may not', async () => {
    await using worker = await startScriptedWorker();
    await using hook = await startHook(transform(() => ({ model: 'x' })));
    await using fleet = await startRouter([worker], {
      router: { preRoutingHooks: [{ name: 'guard', url: hook.url }] },
    });
    const response = await chat(fleet);
    await response.text();
    assert.equal(response.headers.get(HOOKS), 'guard');
    assert.deepEqual(JSON.parse(worker.last.body.toString()), CHAT);
  });

  for (const [what, body] of [
    ['a list', '[1]'],
    ['a text', '"{}"'],
    ['an object that says twice whom it is for', '{"model":"a","model":"b"}'],
  ] as const)
    test(`is refused where the route cannot take it: ${what}`, async () => {
      await using worker = await startScriptedWorker();
      await using hook = await startHook((_, response) => {
        response.end(`{"action":"transform","body":${body}}`);
        return undefined;
      });
      await using fleet = await startRouter([worker], {
        router: { preRoutingHooks: [{ name: 'pii', url: hook.url, transform: true }] },
      });
      const response = await chat(fleet);
      assert.equal(response.status, 400);
      assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'hook_bad_transform');
      assert.equal(response.headers.get(HOOKS), 'pii:error');
      assert.equal(worker.received.length, 0);
    });

  test('above the limits is an error of the hook', async () => {
    await using worker = await startScriptedWorker();
    await using hook = await startHook(transform((body) => ({ ...body, filler: 'x'.repeat(3_000) })));
    for (const [onError, limits, router] of [
      ['pass', {}, { maxPayloadSize: 2_000 }],
      ['block', {}, { maxPayloadSize: 2_000 }],
      ['block', { maxResponseBytes: 2_000 }, {}],
    ] as const) {
      await using fleet = await startRouter([worker], {
        router: {
          ...router,
          preRoutingHooks: [{ name: 'pii', url: hook.url, transform: true, onError, ...limits }],
        },
      });
      const response = await chat(fleet);
      await response.text();
      assert.equal(response.headers.get(HOOKS), 'pii:error');
      assert.equal(response.status, onError === 'pass' ? 200 : 502);
      if (onError === 'pass') assert.deepEqual(JSON.parse(worker.last.body.toString()), CHAT);
    }
  });

  test('is the one that is sent again when a worker fails', async () => {
    await using hook = await startHook(transform((body) => ({ ...body, messages: [] })));
    await using bad = await startScriptedWorker((response) => response.writeHead(503).end());
    await using good = await startScriptedWorker();
    await using fleet = await startRouter([bad, good], {
      router: {
        policy: 'round_robin',
        retry: { initialBackoffMs: 1 },
        preRoutingHooks: [{ name: 'pii', url: hook.url, transform: true }],
      },
    });
    for (let turn = 0; turn < 2; turn += 1) {
      const response = await chat(fleet);
      assert.equal(response.status, 200);
      await response.text();
    }
    assert.equal(hook.calls.length, 2, 'hooks are asked once per request, not per attempt');
    for (const { body } of [...bad.received, ...good.received])
      assert.deepEqual((JSON.parse(body.toString()) as typeof CHAT).messages, []);
  });
});

test('an action that is not known never blocks', async () => {
  await using hook = await startHook({ action: 'quarantine' });
  await using fleet = await startFleet({
    router: { preRoutingHooks: [{ name: 'guard', url: hook.url, onError: 'block' }] },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  await response.text();
  assert.equal(response.headers.get(HOOKS), 'guard:unknown');
});

test('a transform without a body changes nothing', async () => {
  await using hook = await startHook({ action: 'transform', body: null });
  await using fleet = await startFleet({
    router: { preRoutingHooks: [{ name: 'pii', url: hook.url, transform: true, onError: 'block' }] },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  await response.text();
  assert.equal(response.headers.get(HOOKS), 'pii:transform-no-body');
});

test('a dry run asks no hook and says so; shown configuration holds no secret of one', async () => {
  await using hook = await startHook({ action: 'reject' });
  await using fleet = await startFleet({
    router: {
      preRoutingHooks: [
        {
          ...{ name: 'guard', url: hook.url.replace('//', '//user:pa55word@') + '?token=t0ken' },
          ...{ headers: { 'x-key': 'h3ader' }, apiKey: 'b3arer' },
        },
      ],
    },
  });
  const admin = adminOf(fleet);
  const explained = await admin('POST', '/admin/explain', { path: '/v1/chat/completions', body: CHAT });
  assert.deepEqual([explained.body.outcome, explained.body.hooks], ['routed', 'not_run']);
  assert.equal(hook.calls.length, 0);
  const shown = JSON.stringify((await admin('GET', '/admin/config')).body);
  assert.doesNotMatch(shown, /pa55word|t0ken|h3ader|b3arer/);
  const { port } = new URL(hook.url);
  assert.ok(shown.includes(`"url":"http://***@127.0.0.1:${port}/check?***"`), shown);
  await (await chat(fleet)).text();
  assert.equal(hook.last.url, '/check?token=t0ken');
  assert.equal(hook.last.headers.authorization, 'Bearer b3arer');
});
