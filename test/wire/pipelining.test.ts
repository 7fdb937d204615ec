/** Requests on one connection may come faster than they are answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { eventually, settledAt, type Fleet } from '../support/fleet.ts';
import { memoryInUse } from '../support/memory.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';
import { certificateFiles } from '../support/tls.ts';

/** As many as are served at once on one connection. */
const MOST_AT_ONCE = 16;
/** As many as may wait behind them. */
const MOST_AHEAD = 2_048;

function gets(count: number, from = 0, version = '1.1\r\nHost: r'): string {
  return Array.from({ length: count }, (_, i) => `GET /${from + i} HTTP/${version}\r\n\r\n`).join('');
}

interface Setup extends AsyncDisposable {
  readonly worker: ScriptedWorker;
  readonly fleet: Fleet;
  /** What the worker has to answer, by path. */
  readonly answers: Map<string, ServerResponse>;
}

/** A worker that answers when the test does. */
async function start(router: Parameters<typeof startRouter>[1] = {}): Promise<Setup> {
  const answers = new Map<string, ServerResponse>();
  const worker = await startScriptedWorker((response, { url }) => answers.set(url, response));
  const fleet = await startRouter([worker], router);
  return {
    worker,
    fleet,
    answers,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

function answerOf({ answers }: Setup, url: string): ServerResponse {
  return answers.get(url) ?? assert.fail(`${url} has not been asked for`);
}

/** What is held in the router's name. */
function places({ app }: Fleet): number[] {
  return [app.runtime.ledger.openLeases, app.runtime.admission.inFlight];
}

const HALVES: readonly (readonly [string, readonly string[], string])[] = [
  ['of a known length', ['content-length', '100'], 'abc'],
  ['in chunks', ['content-type', 'text/plain'], 'abc'],
  ['of a length that nobody knows', ['content-type', 'application/json', 'connection', 'close'], '{"a":'],
  ['of events', ['content-type', 'text/event-stream'], 'data: {"a":'],
];

for (const [what, headers, half] of HALVES) {
  for (const version of ['1.1\r\nHost: r', '1.0\r\nConnection: keep-alive']) {
    test(`an answer ${what} that breaks behind another one (HTTP/${version.slice(0, 3)})`, async () => {
      await using setup = await start();
      const { fleet, answers } = setup;
      await using client = await RawClient.connect(fleet.port);
      client.send(gets(4, 0, version));
      await eventually(() => answers.size === 4);
      const third = once(answerOf(setup, '/2').writeHead(200, [...headers]), 'close');
      const fourth = once(answerOf(setup, '/3'), 'close');
      answerOf(setup, '/2').write(half);
      const second = answerOf(setup, '/1').writeHead(200, [...headers]);
      second.write(half, () => second.destroy());
      // Nobody will ever read the later ones: they end on their workers, too.
      await Promise.all([third, fourth]);
      await eventually(() => String(places(fleet)) === '1,1');
      answerOf(setup, '/0').end('whole');
      assert.equal((await client.response()).body.toString(), 'whole');
      const { how, rest } = await client.ended();
      assert.deepEqual([how, rest.toString()], ['closed', '']);
      assert.equal((await fleet.decision(({ outcome }) => outcome === 'worker_broken')).status, 200);
    });
  }
}

test('a request that fails behind another one is answered in its turn', async () => {
  await using setup = await start({ router: { disableRetries: true } });
  const { fleet, answers } = setup;
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(3));
  await eventually(() => answers.size === 3);
  answerOf(setup, '/2').end('third');
  await eventually(() => {
    // On a kept-alive connection it is sent once more.
    answerOf(setup, '/1').socket?.destroy();
    return fleet.app.runtime.ledger.openLeases === 2;
  });
  answerOf(setup, '/0').end('first');
  const got = [await client.response(), await client.response(), await client.response()];
  assert.deepEqual(
    got.map(({ status }) => status),
    [200, 502, 200],
  );
});

test('when the first one breaks, all others end at once', async () => {
  await using setup = await start();
  const { fleet, answers } = setup;
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(MOST_AT_ONCE + 5));
  await eventually(() => answers.size === MOST_AT_ONCE);
  const others = Array.from({ length: MOST_AT_ONCE - 1 }, (_, i) =>
    once(answerOf(setup, `/${i + 1}`), 'close'),
  );
  answerOf(setup, '/3').writeHead(200).write('some');
  answerOf(setup, '/0').writeHead(200).write('some');
  await client.seen(/some/);
  answerOf(setup, '/0').destroy();
  await Promise.all(others);
  await client.ended();
  await eventually(() => String(places(fleet)) === '0,0');
  assert.equal(answers.size, MOST_AT_ONCE);
});

/** What a client may have sent before it leaves; none of it hides that it does. */
const AHEAD: readonly (readonly [string, string])[] = [
  ['some that wait', gets(MOST_AT_ONCE + 100)],
  ['as many as may wait', gets(MOST_AT_ONCE + 2_000)],
  ['more than may wait', gets(5_000)],
  ['more than may wait, and half a head', `${gets(5_000)}GET /late HTTP/1.1\r\nHo`],
  ['a long body that waits', `${gets(MOST_AT_ONCE)}${post(300_000, 300_000)}`],
  ['half of a long body that waits', `${gets(MOST_AT_ONCE)}${post(3_000_000, 300_000)}`],
  ['a long body behind too many', `${gets(5_000)}${post(300_000, 300_000)}`],
];

function post(length: number, sent: number): string {
  return `POST /post HTTP/1.1\r\nHost: r\r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(sent)}`;
}

for (const [what, bytes] of AHEAD) {
  for (const leave of ['end', 'resetAndDestroy'] as const) {
    test(`when the client leaves (${leave}), all end at once: ${what}`, async () => {
      await using setup = await start();
      const { fleet, answers } = setup;
      await using client = await RawClient.connect(fleet.port);
      client.send(bytes);
      await eventually(() => answers.size === MOST_AT_ONCE && client.socket.writableLength === 0);
      const ended = [...answers.values()].map((response) => once(response, 'close'));
      client.socket[leave]();
      await Promise.all(ended);
      await eventually(() => String(places(fleet)) === '0,0');
    });
  }
}

test('behind an answer with whose end the connection ends nothing is served any further', async () => {
  await using setup = await start();
  const { fleet, answers } = setup;
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(MOST_AT_ONCE + 5, 0, '1.0\r\nConnection: keep-alive'));
  await eventually(() => answers.size === MOST_AT_ONCE);
  const others = [...answers.values()].slice(1).map((response) => once(response, 'close'));
  answerOf(setup, '/0').writeHead(200, { 'content-type': 'text/plain' }).write('some');
  await Promise.all(others);
  await eventually(() => String(places(fleet)) === '1,1');
  answerOf(setup, '/0').end(' more');
  assert.equal((await client.response()).body.toString(), 'some more');
  assert.equal(answers.size, MOST_AT_ONCE);
});

test('what comes of a body behind an answer that broke is not kept', async () => {
  await using setup = await start();
  const { fleet, answers } = setup;
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(2) + post(200_000_000, 0).replace('/post', '/v1/completions'));
  await eventually(() => answers.size === 2);
  const broken = answerOf(setup, '/1').writeHead(200, { 'content-length': 9 });
  broken.write('half', () => broken.destroy());
  await eventually(() => places(fleet)[0] === 1);
  const before = memoryInUse();
  const piece = Buffer.alloc(1_000_000, 'x');
  for (let sent = 0; sent < 100; sent += 1) {
    if (!client.socket.write(piece)) await once(client.socket, 'drain');
  }
  const grown = memoryInUse() - before;
  assert.ok(grown < 20_000_000, `${grown} bytes`);
  answerOf(setup, '/0').end('whole');
  assert.equal((await client.response()).body.toString(), 'whole');
});

test('answers that are whole reach a client that has ended its side, also those behind others', async () => {
  const body = 'x'.repeat(60_000);
  await using worker = await startScriptedWorker((response) => response.end(body));
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.socket.pause();
  client.send(gets(1_000));
  // More than the system takes: the first of those that are left has not gone, and the others wait behind it.
  const whole = await settledAt(() => worker.received.length);
  assert.ok(whole < 1_000);
  client.socket.end();
  client.socket.resume();
  for (let i = 0; i < whole; i += 1) assert.equal((await client.response()).body.length, body.length);
  assert.equal((await client.ended()).rest.length, 0);
});

test('a client that leaves is noticed though its second request was refused in the middle of its body', async () => {
  await using setup = await start({ router: { maxPayloadSize: 1_000 } });
  const { fleet } = setup;
  await using client = await RawClient.connect(fleet.port);
  const chunk = `${(200_000).toString(16)}\r\n${'x'.repeat(200_000)}\r\n`;
  client.send(
    `${gets(1)}POST /v1/completions HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`,
  );
  await eventually(() => setup.answers.size === 1);
  const left = once(answerOf(setup, '/0'), 'close');
  client.socket.end();
  await left;
  await eventually(() => String(places(fleet)) === '0,0');
});

test('1,200 at once: some at a time, and every answer in its place', async () => {
  let most = 0;
  await using worker = await startScriptedWorker((response, { url }) => {
    most = Math.max(most, fleet.app.runtime.admission.inFlight);
    response.end(url);
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(1_200));
  for (let i = 0; i < 1_200; i += 1) {
    const response = await client.response();
    assert.deepEqual([response.status, response.body.toString()], [200, `/${i}`]);
  }
  assert.ok(most <= MOST_AT_ONCE, `${most} at once`);
  // The connection is as good as before.
  client.send(gets(1, 7));
  assert.equal((await client.response()).body.toString(), '/7');
});

test('the same over TLS, where the first ones take their time', async () => {
  using files = certificateFiles();
  await using setup = await start({ router: { ...files.listener } });
  const { fleet, answers, worker } = setup;
  await using client = await RawClient.connectTls(fleet.port, { ca: files.ca.cert });
  client.send(gets(2_000));
  await eventually(() => answers.size === MOST_AT_ONCE);
  for (let i = 0; i < 2_000; i += 1) {
    if (i === 10) {
      worker.answer = (response, { url }) => response.end(url);
      for (const [url, response] of answers) response.end(url);
    } else if (i < 10) {
      await eventually(() => answers.has(`/${i}`));
      answerOf(setup, `/${i}`).end(`/${i}`);
    }
    assert.equal((await client.response()).body.toString(), `/${i}`);
  }
});

for (const [what, bytes, served] of [
  ['more requests than may wait', gets(5_000), MOST_AT_ONCE + MOST_AHEAD],
  ['a body that is longer than what may wait', gets(40) + post(300_000, 300_000) + gets(9), 40],
] as const) {
  test(`${what}: those before are answered, the last one says that it is, the rest is not served`, async () => {
    await using setup = await start();
    const { fleet, answers, worker } = setup;
    await using client = await RawClient.connect(fleet.port);
    client.send(bytes);
    await eventually(() => answers.size === MOST_AT_ONCE && client.socket.writableLength === 0);
    while (!/"queue_full"[^}]*\} [1-9]/.test(await fleet.metrics()));
    worker.answer = (response, { url }) => response.end(url);
    for (const [url, response] of answers) response.end(url);
    for (let i = 0; i < served; i += 1) {
      const { body, headers } = await client.response();
      assert.equal(body.toString(), `/${i}`);
      assert.equal(headerValue(headers, 'connection'), i === served - 1 ? 'close' : 'keep-alive');
    }
    const { how, rest } = await client.ended();
    assert.deepEqual([how, rest.length, worker.received.length], ['closed', 0, served]);
  });
}

test('a flood is neither served nor kept', async () => {
  await using setup = await start();
  const { fleet, answers, worker } = setup;
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(400_000));
  await client.ended();
  await eventually(() => String(places(fleet)) === '0,0');
  assert.ok(worker.received.length <= MOST_AT_ONCE && answers.size <= MOST_AT_ONCE);
});

test('bodies behind one another arrive whole, however many wait', async () => {
  await using worker = await startScriptedWorker((response, { body }) => response.end(body));
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  const body = (i: number): string => `${i}`.repeat(1 + (i % 50) * 100);
  for (let i = 0; i < 200; i += 1) {
    const head = 'POST /v1/audio/transcriptions HTTP/1.1\r\nHost: r\r\nContent-Type: text/plain\r\n';
    const text = body(i);
    if (i % 2 === 0) client.send(`${head}Content-Length: ${text.length}\r\n\r\n${text}`);
    else
      client.send(
        `${head}Transfer-Encoding: chunked\r\n\r\n${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`,
      );
  }
  for (let i = 0; i < 200; i += 1) assert.equal((await client.response()).body.toString(), body(i));
});

test('a body that waits counts as several requests when it is long', async () => {
  await using setup = await start();
  const { fleet, answers } = setup;
  await using client = await RawClient.connect(fleet.port);
  client.send(gets(MOST_AT_ONCE));
  await eventually(() => answers.size === MOST_AT_ONCE);
  client.send(post(60_000, 60_000).repeat(280));
  while (!/"queue_full"[^}]*\} [1-9]/.test(await fleet.metrics()));
  for (const answer of answers.values()) answer.end('ok');
  for (let i = 0; i < MOST_AT_ONCE; i += 1) assert.equal((await client.response()).status, 200);
});

test('beyond all bounds the connection ends behind the answers that are due, and says so', async () => {
  await using worker = await startScriptedWorker((response, { url }) => response.end(url));
  await using fleet = await startRouter([worker], { router: { maxConcurrentRequests: 1_000 } });
  const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(fleet.port)));
  for (const client of clients) client.send(gets(1_500));
  const counts = await Promise.all(
    clients.map(async (client) => {
      for (let count = 0; count < 1_500; count += 1) {
        const response = await client.response().catch(() => undefined);
        if (response) assert.equal(response.body.toString(), `/${count}`);
        // The last one says so, unless its head had been written before.
        if (response && headerValue(response.headers, 'connection') !== 'close') continue;
        const { how, rest } = await client.ended();
        assert.deepEqual([how, rest.length], ['closed', 0]);
        return response ? count + 1 : count;
      }
      return 1_500;
    }),
  );
  for (const client of clients) await client[Symbol.asyncDispose]();
  assert.ok(counts.some((count) => count < 1_500) && Math.min(...counts) >= MOST_AT_ONCE, String(counts));
  assert.match(await fleet.metrics(), /vllm_router_request_errors_total\{[^}]*"queue_full"[^}]*\} [1-9]/);
  // Nothing of it is left: there is room again.
  await using again = await RawClient.connect(fleet.port);
  again.send(gets(1_200));
  for (let i = 0; i < 1_200; i += 1) assert.equal((await again.response()).status, 200);
});

for (const count of [1, 40, 1_000]) {
  test(`a head that comes too late breaks none of the ${count} answers before it`, async () => {
    await using setup = await start({ router: { headerTimeoutSecs: 1 } });
    const { fleet, answers, worker } = setup;
    await using client = await RawClient.connect(fleet.port);
    client.send(`${gets(count)}GET /late HTTP/1.1\r\nHo`);
    await eventually(() => answers.size === Math.min(count, MOST_AT_ONCE));
    // Its time begins later, so when it is up, that of the other one is.
    await using slow = await RawClient.connect(fleet.port);
    slow.send('GET /late HTTP/1.1\r\nHo');
    assert.equal((await slow.response()).status, 408);
    worker.answer = (response) => response.end('x');
    for (const response of answers.values()) response.end('x');
    for (let i = 1; i <= count; i += 1) {
      const response = await client.response();
      assert.equal(response.status, 200);
      assert.equal(headerValue(response.headers, 'connection'), i === count ? 'close' : 'keep-alive');
    }
    assert.equal((await client.ended()).how, 'closed');
  });
}

test('a flood behind a request that was refused ends the connection', async () => {
  await using setup = await start();
  await using client = await RawClient.connect(setup.fleet.port);
  client.send(`GET ftp://x HTTP/1.1\r\nHost: r\r\n\r\n`);
  assert.equal((await client.response()).status, 400);
  const closed = once(client.socket, 'close');
  client.send(gets(20_000));
  await closed;
  assert.equal(setup.worker.received.length, 0);
});

for (const order of [
  [0, 1, 2],
  [2, 1, 0],
  [1, 2, 0],
]) {
  test(`when the router stops, only the last answer of a connection says that it ends (${String(order)})`, async () => {
    await using setup = await start();
    const { fleet, answers } = setup;
    await using client = await RawClient.connect(fleet.port);
    client.send(gets(3));
    await eventually(() => answers.size === 3);
    const stopped = fleet.app.stop();
    for (const i of order) answerOf(setup, `/${i}`).end(`answer ${i}`);
    for (let i = 0; i < 3; i += 1) {
      const { body, headers } = await client.response();
      const says = headerValue(headers, 'connection');
      assert.deepEqual([body.toString(), says], [`answer ${i}`, i === 2 ? 'close' : 'keep-alive']);
    }
    assert.equal((await client.ended()).how, 'closed');
    await stopped;
  });
}

test('behind an answer that says that the connection ends, nothing is served', async () => {
  const answers = new Map<string, ServerResponse>();
  await using worker = await startScriptedWorker(undefined, {
    onHead: ({ url = '' }, response) => {
      answers.set(url, response);
      response.writeHead(200).write(`begins ${url}`);
    },
  });
  await using fleet = await startRouter([worker], { router: { shutdownDelaySecs: 600 } });
  const begin = async (url: string, request: string): Promise<RawClient> => {
    const client = await RawClient.connect(fleet.port);
    client.send(request);
    await client.seen(new RegExp(`begins ${url}`));
    return client;
  };
  // Answered before it has been read, so that the connection ends whatever the router is at.
  const post = 'POST /early HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n';
  await using early = await begin('/early', post);
  const stopped = fleet.app.stop();
  await using late = await begin('/0', gets(1));
  for (const [client, more] of [
    [early, `0\r\n\r\n${gets(3, 1)}`],
    [late, gets(3, 1)],
  ] as const) {
    await new Promise((resolve) => client.socket.write(more, resolve));
  }
  await using other = await begin('/9', gets(1, 9));
  for (const response of answers.values()) response.end();
  for (const client of [early, late, other])
    assert.equal(headerValue((await client.response()).headers, 'connection'), 'close');
  assert.deepEqual([...answers.keys()].toSorted(), ['/0', '/9', '/early']);
  fleet.app.cut();
  await stopped;
});
