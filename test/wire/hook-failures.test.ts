/** A hook that is down, slow or lying does to requests what its configuration says, and nothing else. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { silentLog, type Log } from '../../src/observe/log.ts';
import { chat, CHAT, streamChat } from '../support/chat.ts';
import { advanceUntil, eventually, roundTrip, startFleet, type Fleet } from '../support/fleet.ts';
import { ALLOW, startHook, type HookAnswer, type HookService } from '../support/hook-service.ts';
import { scrape } from '../support/metrics.ts';

const HOOKS = 'x-vllm-router-hooks';

function codeOf(response: Response): Promise<string> {
  return response.json().then((body) => (body as { error: { code: string } }).error.code);
}

/** Nothing listens there. */
async function deadUrl(): Promise<string> {
  const hook = await startHook();
  await hook[Symbol.asyncDispose]();
  return hook.url;
}

function raw(send: (response: ServerResponse) => void): HookAnswer {
  return (_, response) => {
    send(response);
    return undefined;
  };
}

const LIES: readonly (readonly [what: string, answer: HookAnswer])[] = [
  ['a page instead of JSON', raw((response) => response.end('<html>all is well</html>'))],
  ['nothing at all', raw((response) => response.writeHead(204).end())],
  ['JSON that is no object', raw((response) => response.end('["allow"]'))],
  ['no action', { verdict: 'allow' }],
  ['an error that says allow', raw((response) => response.writeHead(500).end('{"action":"allow"}'))],
  ['a client error', raw((response) => response.writeHead(422).end('{"action":"allow"}'))],
  [
    'a redirect',
    raw((response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end('{"action":"allow"}')),
  ],
  ['compressed bytes nobody asked for', raw((response) => response.end(Buffer.from([0x1f, 0x8b, 8, 0])))],
  ['a huge answer', { action: 'allow', log: 'x'.repeat(100_000) }],
  [
    'an answer shorter than announced',
    raw((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{"action":"allow"}');
      setImmediate(() => response.destroy());
    }),
  ],
  [
    'an answer cut in the middle',
    raw((response) => {
      response.write('{"action":"all');
      setImmediate(() => response.destroy());
    }),
  ],
  ['a closed connection', raw((response) => response.destroy())],
  ['something that is not HTTP', raw((response) => response.socket?.end('220 smtp ready\r\n'))],
];

test('what is said of a failing hook speaks of the hook, not of a worker', async () => {
  const reasons: string[] = [];
  const log: Log = { ...silentLog, warn: (fields) => void reasons.push(String(fields['reason'])) };
  await using hook = await startHook(raw((response) => response.destroy()));
  for (const [url, reason] of [
    [await deadUrl(), 'no connection to the hook could be made (ECONNREFUSED)'],
    [hook.url, 'the hook closed the connection before its answer was complete (closed)'],
  ] as const) {
    await using fleet = await startFleet({
      log,
      router: { preRoutingHooks: [{ name: 'guard', url, onError: 'block' }] },
    });
    const response = await chat(fleet);
    const { error } = (await response.json()) as { error: { message: string } };
    assert.equal(error.message, 'the hook guard failed, and without its verdict the request goes no further');
    assert.ok(reasons.includes(reason), reasons.join('\n'));
  }
});

describe('a hook that lies', () => {
  const fleets = new Map<'pass' | 'block', Fleet>();
  let hook: HookService;
  before(async () => {
    hook = await startHook();
    const entry = { name: 'guard', url: hook.url, timeoutMs: 5_000, maxResponseBytes: 10_000 };
    for (const onError of ['pass', 'block'] as const) {
      const router = { disableCircuitBreaker: true, preRoutingHooks: [{ ...entry, onError }] };
      fleets.set(onError, await startFleet({ router }));
    }
  });
  after(async () => {
    for (const fleet of fleets.values()) await fleet.stop();
    await hook[Symbol.asyncDispose]();
  });

  for (const [what, answer] of LIES)
    test(`is an error, passed over or blocking: ${what}`, async () => {
      hook.answer = answer;
      for (const [onError, fleet] of fleets) {
        const errors = async (): Promise<number> =>
          (await scrape(fleet)).value('vllm_router_hook_requests_total', { hook: 'guard', outcome: 'error' });
        const before = await errors();
        const response = await chat(fleet);
        assert.equal(response.headers.get(HOOKS), 'guard:error');
        if (onError === 'pass') {
          assert.equal(response.status, 200);
          await response.text();
        } else {
          assert.equal(response.status, 502);
          assert.equal(await codeOf(response), 'hook_failed');
          const decision = await fleet.decision();
          assert.deepEqual([decision.outcome, decision.attempts], ['router_error', []]);
        }
        assert.equal(await errors(), before + 1);
      }
    });

  test('about its length, with a whole answer in front, is taken at its word', async () => {
    await using hook = await startHook(
      raw((response) => {
        response.socket?.end(
          'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"action":"allow"}{"action":"reject"}',
        );
      }),
    );
    await using fleet = await startFleet({
      router: { preRoutingHooks: [{ name: 'guard', url: hook.url, onError: 'block' }] },
    });
    for (let turn = 0; turn < 3; turn += 1) {
      const response = await chat(fleet);
      assert.equal(response.status, 200);
      await response.text();
    }
  });
});

describe('a hook that is down', () => {
  for (const [onError, status] of [
    ['pass', 200],
    ['block', 502],
  ] as const)
    test(`means ${status} with on_error ${onError}, for streams too`, async () => {
      const url = await deadUrl();
      await using fleet = await startFleet({
        router: { preRoutingHooks: [{ name: 'guard', url, onError }] },
      });
      for (const ask of [chat, streamChat]) {
        const response = await ask(fleet);
        assert.equal(response.status, status);
        assert.equal(response.headers.get(HOOKS), 'guard:error');
        const text = await response.text();
        assert.doesNotMatch(text, /127\.0\.0\.1|ECONN/, 'clients need not know where hooks are');
      }
    });

  test('is told to the log once, and so is its return', async () => {
    await using hook = await startHook(raw((response) => response.writeHead(500).end()));
    const lines: string[] = [];
    const note = (fields: object, message: string): void => {
      if ('hook' in fields) lines.push(message);
    };
    const log: Log = { ...silentLog, warn: note, info: note };
    await using fleet = await startFleet({
      log,
      router: { preRoutingHooks: [{ name: 'guard', url: hook.url }] },
    });
    for (let turn = 0; turn < 3; turn += 1) await (await chat(fleet)).text();
    hook.answer = ALLOW;
    for (let turn = 0; turn < 3; turn += 1) await (await chat(fleet)).text();
    assert.deepEqual(lines, ['hook fails', 'hook answers again']);
  });
});

describe('a hook that is slow', () => {
  /** Never ends, though something comes now and then. */
  const drip = raw((response) => {
    response.write('{');
    const timer = setInterval(() => response.write(' '), 5);
    response.once('close', () => clearInterval(timer));
  });
  for (const [what, answer] of [
    ['without an answer', raw(() => undefined)],
    ['with an endless one', drip],
  ] as const)
    for (const [onError, status] of [
      ['pass', 200],
      ['block', 502],
    ] as const)
      test(`is cut at its timeout ${what}, on_error ${onError}`, async () => {
        await using hook = await startHook(answer);
        await using fleet = await startFleet({
          router: { preRoutingHooks: [{ name: 'guard', url: hook.url, timeoutMs: 40, onError }] },
        });
        const response = await chat(fleet);
        assert.equal(response.status, status);
        assert.equal(response.headers.get(HOOKS), 'guard:timeout');
        if (onError === 'block') assert.equal(await codeOf(response), 'hook_timeout');
        else await response.text();
        await eventually(() => hook.open === 0);
        const { hooks_ms: waited = 0 } = await fleet.decision();
        assert.ok(waited >= 35, `${waited} ms`);
      });
});

test('a circuit opens, spares everybody the wait, and closes when the hook is back', async () => {
  const clock = new VirtualClock();
  await using hook = await startHook(raw((response) => response.writeHead(503).end()));
  await using fleet = await startFleet({
    clock,
    router: {
      preRoutingHooks: [
        {
          ...{ name: 'guard', url: hook.url, onError: 'block' as const },
          circuitBreaker: { failureThreshold: 2, timeoutDurationSecs: 5 },
        },
      ],
    },
  });
  const status = async (): Promise<number> => {
    const response = await advanceUntil(clock, 1, chat(fleet));
    await response.text();
    return response.status;
  };
  for (let turn = 0; turn < 4; turn += 1) assert.equal(await status(), 502);
  assert.equal(hook.calls.length, 2);
  const open = await scrape(fleet);
  assert.equal(open.value('vllm_router_hook_cb_state', { hook: 'guard' }), 1);
  assert.equal(open.value('vllm_router_hook_requests_total', { hook: 'guard', outcome: 'error' }), 4);
  hook.answer = ALLOW;
  clock.advance(5_000);
  assert.equal(await status(), 200);
  assert.equal(await status(), 200);
  assert.equal(hook.calls.length, 4);
  const closed = await scrape(fleet);
  assert.equal(closed.value('vllm_router_hook_cb_state', { hook: 'guard' }), 0);
  const transitions = { hook: 'guard', from: 'half_open', to: 'closed' };
  assert.equal(closed.value('vllm_router_hook_cb_state_transitions_total', transitions), 1);
});

test('a kept-alive connection that has died costs nothing but a fresh one', async () => {
  let cut = false;
  await using hook = await startHook((_, response) => {
    // The service closes an idle connection just when the next call is on its way.
    if (cut) {
      cut = false;
      response.socket?.destroy();
      return undefined;
    }
    return ALLOW;
  });
  await using fleet = await startFleet({
    oneThread: 'each thread has connections of its own to a hook, and this needs the same one again',
    router: { preRoutingHooks: [{ name: 'guard', url: hook.url, onError: 'block' }] },
  });
  await (await chat(fleet)).text();
  cut = true;
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  await response.text();
  assert.equal(hook.calls.length, 3);
});

test('a client that leaves is noticed, and the hook’s call is cut at once', async () => {
  await using hook = await startHook(raw(() => undefined));
  await using later = await startHook();
  await using fleet = await startFleet({
    router: {
      preRoutingHooks: [
        { name: 'guard', url: hook.url, timeoutMs: 60_000 },
        { name: 'later', url: later.url },
      ],
    },
  });
  const controller = new AbortController();
  const response = chat(fleet, {}, { signal: controller.signal });
  const failed = assert.rejects(response, { name: 'AbortError' });
  await hook.called(1);
  controller.abort();
  await failed;
  await eventually(() => hook.open === 0);
  const decision = await fleet.decision();
  assert.deepEqual([decision.status, decision.error, decision.hooks_ran], [499, 'client_closed', undefined]);
  assert.equal(later.calls.length, 0);
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
});

test('the deadline of a request covers its hooks', async () => {
  await using hook = await startHook(raw(() => undefined));
  await using fleet = await startFleet({
    router: {
      requestTimeoutSecs: 0.05,
      preRoutingHooks: [{ name: 'guard', url: hook.url, timeoutMs: 60_000 }],
    },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 504);
  assert.equal(await codeOf(response), 'deadline_exceeded');
  await eventually(() => hook.open === 0);
});

test('a shutdown waits for nobody’s hook longer than for the request', async () => {
  await using hook = await startHook(raw(() => undefined));
  const fleet = await startFleet({
    router: { preRoutingHooks: [{ name: 'guard', url: hook.url, timeoutMs: 60_000 }] },
  });
  const failed = assert.rejects(chat(fleet));
  await hook.called(1);
  await fleet.stop();
  await failed;
  await eventually(() => hook.open === 0);
});

test('no more calls than allowed are made at once, and the rest follow', async () => {
  const release = Promise.withResolvers<object>();
  await using hook = await startHook(() => release.promise);
  await using fleet = await startFleet({
    router: {
      preRoutingHooks: [{ name: 'guard', url: hook.url, timeoutMs: 60_000, maxConcurrentRequests: 2 }],
    },
  });
  const all = Array.from({ length: 10 }, () => chat(fleet));
  const size = JSON.stringify(CHAT).length;
  await eventually(() => fleet.app.runtime.bodyBytes.held === 10 * size);
  await roundTrip(fleet);
  if (fleet.threads === undefined) assert.equal(hook.calls.length, 2);
  // Of two threads each makes one; where one has all requests, that is all.
  else assert.ok(hook.calls.length >= 1 && hook.calls.length <= 2, `${hook.calls.length} calls`);
  release.resolve(ALLOW);
  for (const response of await Promise.all(all)) {
    assert.equal(response.status, 200);
    await response.text();
  }
  assert.equal(hook.calls.length, 10);
  // The next call may begin before the connection of the last one is free again.
  assert.ok(hook.connections <= 4, `${hook.connections} connections`);
});

test('many at once, of whatever fate, leave nothing behind', async () => {
  let turn = 0;
  const fates: readonly HookAnswer[] = [
    ALLOW,
    { action: 'reject', reason: 'no' },
    { action: 'transform', body: { ...CHAT, max_tokens: 1 } },
    raw((response) => response.writeHead(500).end()),
    raw((response) => response.destroy()),
    raw(() => undefined),
  ];
  await using hook = await startHook((request, response) => {
    const fate = fates[(turn += 1) % fates.length] ?? ALLOW;
    return typeof fate === 'function' ? fate(request, response) : fate;
  });
  await using fleet = await startFleet({
    router: {
      disableCircuitBreaker: true,
      preRoutingHooks: [
        { name: 'guard', url: hook.url, timeoutMs: 500, transform: true, maxConcurrentRequests: 20 },
      ],
    },
  });
  const statuses = await Promise.all(Array.from({ length: 300 }, (_, index) => fateOf(fleet, index)));
  assert.deepEqual([...new Set(statuses)].sort(), [200, 403, 499]);
  await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
});

/** Every fifth client leaves. */
async function fateOf(fleet: Fleet, index: number): Promise<number> {
  const controller = new AbortController();
  try {
    const response = chat(fleet, { stream: index % 2 === 0 }, { signal: controller.signal });
    if (index % 5 === 0) setImmediate(() => controller.abort());
    const { status, body } = await response;
    await body?.pipeTo(new WritableStream());
    return status;
  } catch {
    return 499;
  }
}
