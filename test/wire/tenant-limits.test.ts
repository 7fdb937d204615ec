/** How much a tenant may do: requests per second, at a time, tokens per minute; and that nobody else pays for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, CHAT, pieces, post, streamChat } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter, startScriptedWorker, type Script } from '../support/scripted-worker.ts';

type Tenant = NonNullable<RouterOptions['apiKeys']>[number];

const as = (name: string): RequestInit => ({ headers: { authorization: `Bearer sk-${name}` } });

function tenants(
  ...given: readonly (Partial<Tenant> & { readonly name: string })[]
): RouterOptions['apiKeys'] {
  return given.map((one) => ({ key: `sk-${one.name}`, ...one }));
}

async function errorOf(response: Response): Promise<{ code: string; type: string; message: string }> {
  return ((await response.json()) as { error: { code: string; type: string; message: string } }).error;
}

function limits(response: Response, what: 'requests' | 'tokens'): (string | null)[] {
  return ['limit', 'remaining', 'reset'].map((part) => response.headers.get(`x-ratelimit-${part}-${what}`));
}

function stateOf(fleet: Fleet, name: string) {
  const tenant = fleet.app.runtime.clients.tenants.named(name);
  assert.ok(tenant);
  return tenant;
}

/** A worker whose answers say what they took. */
function counted(promptTokens: number, completionTokens: number): Script {
  return (response) => {
    const usage = { prompt_tokens: promptTokens, completion_tokens: completionTokens };
    const body = JSON.stringify({ id: 'c1', object: 'chat.completion', choices: [], usage });
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  };
}

test('a burst of a second’s requests, then one by one; the headers say where one stands', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{}],
    clock,
    router: { apiKeys: tenants({ name: 'blue', rateLimitRps: 2 }) },
  });
  const first = await chat(fleet, {}, as('blue'));
  assert.equal(first.status, 200);
  assert.deepEqual(limits(first, 'requests'), ['2', '1', '500ms']);
  assert.deepEqual(limits(first, 'tokens'), [null, null, null]);
  const second = await chat(fleet, {}, as('blue'));
  assert.deepEqual(limits(second, 'requests'), ['2', '0', '1s']);
  const refused = await chat(fleet, {}, as('blue'));
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.equal(refused.headers.get('x-ratelimit-limit'), '2');
  assert.equal(refused.headers.get('x-should-retry'), null);
  assert.deepEqual(limits(refused, 'requests'), ['2', '0', '1s']);
  const { code, type } = await errorOf(refused);
  assert.deepEqual([code, type], ['rate_limit_exceeded', 'rate_limit_error']);
  clock.advance(499);
  assert.equal((await chat(fleet, {}, as('blue'))).status, 429);
  clock.advance(1);
  assert.equal((await chat(fleet, {}, as('blue'))).status, 200);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_tenant_rate_limited_total', { tenant: 'blue' }), 2);
  const route = '/v1/chat/completions';
  assert.equal(metrics.value('vllm_router_tenant_requests_total', { tenant: 'blue', route }), 3);
  assert.equal(
    metrics.value('vllm_router_tenant_errors_total', { tenant: 'blue', route, error_type: '429' }),
    2,
  );
  assert.equal(
    metrics.value('vllm_router_tenant_request_duration_seconds_count', { tenant: 'blue', route }),
    3,
  );
});

test('a rate below one a second, and 0, which means one', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [{}],
    clock,
    router: {
      apiKeys: tenants({ name: 'slow', rateLimitRps: 0.1 }, { name: 'zero', rateLimitRps: 0 }),
    },
  });
  for (const [name, wait] of [
    ['slow', '10'],
    ['zero', '1'],
  ] as const) {
    assert.equal((await chat(fleet, {}, as(name))).status, 200);
    const refused = await chat(fleet, {}, as(name));
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), wait);
  }
});

test('in the dialect of the messages API', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    clock: new VirtualClock(),
    router: { apiKeys: tenants({ name: 'blue', rateLimitRps: 1 }) },
  });
  assert.equal((await post(fleet, '/v1/messages', CHAT, as('blue'))).status, 200);
  const refused = await post(fleet, '/v1/messages', CHAT, as('blue'));
  const body = (await refused.json()) as { type: string; error: { type: string; code: string } };
  assert.equal(refused.status, 429);
  assert.deepEqual(
    [body.type, body.error.type, body.error.code],
    ['error', 'rate_limit_error', 'rate_limit_exceeded'],
  );
});

test('a flood of one tenant takes nothing from another', async () => {
  await using fleet = await startFleet({
    clock: new VirtualClock(),
    router: { apiKeys: tenants({ name: 'flood', rateLimitRps: 5 }, { name: 'calm', rateLimitRps: 20 }) },
  });
  const ask = async (name: string): Promise<number> => {
    const response = await chat(fleet, {}, as(name));
    await response.arrayBuffer();
    return response.status;
  };
  const flood = Array.from({ length: 200 }, () => ask('flood'));
  const calm = Array.from({ length: 20 }, () => ask('calm'));
  assert.deepEqual(new Set(await Promise.all(calm)), new Set([200]));
  const statuses = await Promise.all(flood);
  assert.equal(statuses.filter((status) => status === 200).length, 5);
  assert.equal(statuses.filter((status) => status === 429).length, 195);
  assert.equal(stateOf(fleet, 'calm').totalRateLimited, 0);
});

test('requests at a time are counted to the end of the stream, and given back when it is aborted', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { apiKeys: tenants({ name: 'blue', maxConcurrent: 2 }, { name: 'red', maxConcurrent: 1 }) },
  });
  await fleet.workers[0]!.setFaults(['hang:after=2,times=2']);
  const streams: AbortController[] = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const controller = new AbortController();
    const stream = await streamChat(fleet, {}, { ...as('blue'), signal: controller.signal });
    await pieces(stream).next();
    streams.push(controller);
  }
  const blue = stateOf(fleet, 'blue');
  assert.equal(blue.inFlight, 2);
  assert.equal((await scrape(fleet)).value('vllm_router_tenant_inflight_requests', { tenant: 'blue' }), 2);
  const refused = await chat(fleet, {}, as('blue'));
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  assert.equal((await errorOf(refused)).code, 'concurrency_exceeded');
  assert.equal((await chat(fleet, {}, as('red'))).status, 200);
  streams[0]!.abort();
  await eventually(() => blue.inFlight === 1);
  assert.equal((await chat(fleet, {}, as('blue'))).status, 200);
  streams[1]!.abort();
  await eventually(() => blue.inFlight === 0);
  // What was refused took neither place nor turn.
  assert.equal(blue.totalRequests, 3);
});

test('who waits in the queue is inside', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1, apiKeys: tenants({ name: 'blue', maxConcurrent: 2 }) },
  });
  const controller = new AbortController();
  const init = { ...as('blue'), signal: controller.signal };
  const arrived = fleet.workers[0]!.next('request');
  const held = chat(fleet, {}, init);
  await arrived;
  const waiting = chat(fleet, {}, init);
  await eventually(() => fleet.app.runtime.admission.queued === 1);
  assert.equal((await chat(fleet, {}, as('blue'))).status, 429);
  controller.abort();
  await Promise.allSettled([held, waiting]);
  await eventually(() => stateOf(fleet, 'blue').inFlight === 0);
});

test('tokens are set aside beforehand and settled by what the worker says', async () => {
  const clock = new VirtualClock();
  await using worker = await startScriptedWorker(counted(100, 50));
  await using fleet = await startRouter([worker], {
    clock,
    router: { apiKeys: tenants({ name: 'blue', tokensPerMinute: 600 }) },
  });
  const first = await chat(fleet, { max_tokens: 200 }, as('blue'));
  assert.equal(first.status, 200);
  // The head went out while all of it was set aside.
  const [limit, remaining] = limits(first, 'tokens');
  assert.equal(limit, '600');
  assert.ok(Number(remaining) < 400, String(remaining));
  await first.text();
  const blue = stateOf(fleet, 'blue');
  await eventually(() => blue.tokensUsed === 150);
  assert.equal(blue.tokenLevel()?.remaining, 450);
  await (await chat(fleet, { max_tokens: 200 }, as('blue'))).text();
  await (await chat(fleet, { max_tokens: 200 }, as('blue'))).text();
  await eventually(() => blue.tokensUsed === 450);
  const refused = await chat(fleet, { max_tokens: 200 }, as('blue'));
  assert.equal(refused.status, 429);
  assert.equal((await errorOf(refused)).code, 'tokens_exceeded');
  assert.equal(refused.headers.get('x-ratelimit-remaining-tokens'), '150');
  assert.equal(refused.headers.get('x-ratelimit-reset-tokens'), '45s');
  // Ten a second come back; the estimate of the prompt is added to the 200.
  const wait = Number(refused.headers.get('retry-after'));
  assert.ok(wait > 5 && wait < 20, String(wait));
  clock.advance((wait - 1) * 1000);
  assert.equal((await chat(fleet, { max_tokens: 200 }, as('blue'))).status, 429);
  clock.advance(1000);
  assert.equal((await chat(fleet, { max_tokens: 200 }, as('blue'))).status, 200);
  await eventually(() => blue.tokensUsed === 600);
  assert.equal((await scrape(fleet)).value('vllm_router_tenant_tokens_total', { tenant: 'blue' }), 600);
});

test('an answer longer than was thought is paid back first', async () => {
  const clock = new VirtualClock();
  await using worker = await startScriptedWorker(counted(100, 900));
  await using fleet = await startRouter([worker], {
    clock,
    router: { apiKeys: tenants({ name: 'blue', tokensPerMinute: 600 }) },
  });
  await (await chat(fleet, { max_tokens: 10 }, as('blue'))).text();
  await eventually(() => stateOf(fleet, 'blue').tokensUsed === 1000);
  const refused = await chat(fleet, { max_tokens: 1 }, as('blue'));
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) > 40);
  // What needs no tokens goes on.
  assert.equal((await fetch(`${fleet.url}/v1/models`, as('blue'))).status, 200);
});

test('a request that takes more than a minute’s tokens is refused at once, and not to be tried again', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { apiKeys: tenants({ name: 'blue', tokensPerMinute: 600 }) },
  });
  const refused = await chat(fleet, { max_tokens: 5000 }, as('blue'));
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('x-should-retry'), 'false');
  assert.ok(refused.headers.get('retry-after'));
  const { code, message } = await errorOf(refused);
  assert.equal(code, 'tokens_exceeded');
  assert.match(message, /50\d\d tokens .*600 per minute.* never/);
  assert.equal(stateOf(fleet, 'blue').tokenLevel()?.remaining, 600);
});

test('what a worker never had, or refused, is given back whole', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}');
  });
  await using fleet = await startRouter([worker], {
    router: { queueSize: 0, apiKeys: tenants({ name: 'blue', tokensPerMinute: 600 }) },
    clock: new VirtualClock(),
  });
  const blue = stateOf(fleet, 'blue');
  assert.equal((await chat(fleet, { max_tokens: 300 }, as('blue'))).status, 400);
  await eventually(() => blue.inFlight === 0);
  assert.equal(blue.tokenLevel()?.remaining, 600);
  fleet.app.runtime.registry.workers[0]!.draining = true;
  assert.equal((await chat(fleet, { max_tokens: 300 }, as('blue'))).status, 503);
  await eventually(() => blue.inFlight === 0);
  assert.equal(blue.tokenLevel()?.remaining, 600);
  assert.equal(blue.tokensUsed, 0);
});

test('a client that leaves pays for what was computed for it', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    clock: new VirtualClock(),
    router: { apiKeys: tenants({ name: 'blue', tokensPerMinute: 6000 }) },
  });
  const blue = stateOf(fleet, 'blue');
  const controller = new AbortController();
  const arrived = fleet.workers[0]!.next('request');
  const left = chat(fleet, { max_tokens: 3000 }, { ...as('blue'), signal: controller.signal });
  await arrived;
  assert.ok((blue.tokenLevel()?.remaining ?? 0) < 3000);
  controller.abort();
  await left.catch(() => undefined);
  await eventually(() => blue.inFlight === 0);
  // Of the prompt alone: there was no answer.
  assert.ok(blue.tokensUsed > 0 && blue.tokensUsed < 200, String(blue.tokensUsed));
  assert.equal(blue.tokenLevel()?.remaining, 6000 - blue.tokensUsed);
});

test('limits of a worker that is a service of somebody else are not those of the tenant', async () => {
  const script: Script = (response) => {
    const headers = { 'content-type': 'application/json', 'x-ratelimit-remaining-requests': '7' };
    response.writeHead(200, { ...headers, 'x-ratelimit-limit-tokens': '8' }).end('{}');
  };
  await using worker = await startScriptedWorker(script);
  await using fleet = await startRouter([worker], {
    router: { apiKeys: tenants({ name: 'blue', rateLimitRps: 50 }) },
    clock: new VirtualClock(),
  });
  const response = await chat(fleet, {}, as('blue'));
  assert.deepEqual(limits(response, 'requests'), ['50', '49', '20ms']);
  assert.equal(response.headers.get('x-ratelimit-limit-tokens'), null);
  await using open = await startRouter([worker]);
  assert.equal((await chat(open)).headers.get('x-ratelimit-remaining-requests'), '7');
});

test('everything is given back after a crowd of ends', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['reset:times=5', 'status:code=500,times=5'] }, {}],
    clock: new VirtualClock(),
    router: {
      queueSize: 5,
      maxConcurrentRequests: 4,
      disableRetries: true,
      apiKeys: tenants({ name: 'blue', rateLimitRps: 1000, tokensPerMinute: 1e9 }),
    },
  });
  const blue = stateOf(fleet, 'blue');
  await Promise.allSettled(
    Array.from({ length: 40 }, async (_, index) => {
      const controller = new AbortController();
      const asked = streamChat(fleet, { max_tokens: 3 }, { ...as('blue'), signal: controller.signal });
      if (index % 3 === 0) controller.abort();
      const response = await asked;
      if (index % 3 === 1) controller.abort();
      await response.text();
    }),
  );
  await eventually(() => blue.inFlight === 0 && fleet.app.runtime.admission.inFlight === 0);
  assert.equal(blue.tokenLevel()?.remaining, 1e9 - blue.tokensUsed);
});
