/** `Expect: 100-continue` is a question to the next hop: the router answers it, and workers never see it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, roundTrip, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

let worker: ScriptedWorker;
let fleet: Fleet;
const BODY = '{"model":"sim-model","prompt":"hi"}';

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker], { router: { maxPayloadSize: 1000 } });
});

after(async () => {
  await fleet.stop();
  await worker[Symbol.asyncDispose]();
});

async function refusals(): Promise<number> {
  await roundTrip(fleet);
  return (await scrape(fleet)).sum('vllm_router_request_errors_total', { error_type: 'expectation_failed' });
}

for (const path of ['/v1/completions', '/unknown/upload']) {
  test(`${path}: the body is asked for, and forwarded without the question`, async () => {
    await using client = await RawClient.connect(fleet.port);
    client.send(
      `POST ${path} HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: ${BODY.length}\r\n\r\n`,
    );
    assert.equal((await client.response({ interim: true })).status, 100);
    client.send(BODY);
    assert.equal((await client.response()).status, 200);
    assert.equal(worker.last.body.toString(), BODY);
    assert.equal(worker.last.headers.expect, undefined);
  });
}

test('a client that does not wait for the answer', async () => {
  await using client = await RawClient.connect(fleet.port);
  client.send(
    `POST /v1/completions HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  );
  assert.equal((await client.response()).status, 200);
});

test('a body that is too long is refused instead of asked for', async () => {
  const before = worker.received.length;
  await using client = await RawClient.connect(fleet.port);
  client.send(
    'POST /v1/completions HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n',
  );
  const response = await client.response({ interim: true });
  assert.equal(response.status, 413);
  assert.equal(headerValue(response.headers, 'connection'), 'close');
  assert.equal(worker.received.length, before);
});

for (const { what, head, type } of [
  { what: 'a completion', head: 'POST /v1/completions HTTP/1.1' },
  { what: "a route of Anthropic's API", head: 'POST /v1/messages HTTP/1.1', type: 'error' },
  { what: 'an unknown route', head: 'PUT /unknown/upload HTTP/1.1' },
  { what: "an answer of the router's own", head: 'GET /v1/models HTTP/1.1' },
  { what: 'an admin route', head: 'POST /workers HTTP/1.1' },
  {
    what: 'a WebSocket',
    head: 'GET /v1/realtime HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket',
  },
]) {
  test(`any other expectation of ${what} cannot be met: the client is told, and it is counted`, async () => {
    const before = await refusals();
    const asked = worker.received.length;
    await using client = await RawClient.connect(fleet.port);
    const length = head.startsWith('GET') ? '' : 'Content-Length: 2\r\n';
    client.send(`${head}\r\nHost: r\r\nExpect: the-unexpected\r\n${length}\r\n${length && '{}'}`);
    const { status, body } = await client.response();
    const answer = JSON.parse(body.toString()) as { type?: string; error: { code: string } };
    assert.deepEqual([status, answer.type, answer.error.code], [417, type, 'expectation_failed']);
    assert.equal(await refusals(), before + 1);
    assert.equal(worker.received.length, asked);
  });
}

for (const waits of [true, false]) {
  test(`behind a request that is not answered yet, by a client that ${waits ? 'waits' : 'does not wait'}`, async (t) => {
    let answerFirst: (() => void) | undefined;
    const { answer } = worker;
    t.after(() => (worker.answer = answer));
    worker.answer = (response, { url }) => {
      if (url === '/first') answerFirst = () => void response.end('first');
      else response.end('last');
    };
    await using client = await RawClient.connect(fleet.port);
    client.send('GET /first HTTP/1.1\r\nHost: r\r\n\r\n');
    client.send(
      `POST /last HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: ${BODY.length}\r\n\r\n`,
    );
    if (!waits) client.send(BODY);
    await eventually(() => answerFirst !== undefined && (waits || worker.last.url === '/last'));
    answerFirst?.();
    assert.equal((await client.response({ interim: true })).body.toString(), 'first');
    if (waits) {
      assert.equal((await client.response({ interim: true })).status, 100);
      client.send(BODY);
    }
    // Where it was asked for all the same, before the answer begins.
    assert.equal((await client.response()).body.toString(), 'last');
  });
}

test('behind requests that wait it is refused in its turn, and they are served in theirs', async () => {
  await using client = await RawClient.connect(fleet.port);
  const get = (i: number): string => `GET /${i} HTTP/1.1\r\nHost: r\r\n`;
  // More than are served at once, each with one behind it that cannot be met.
  const sent = Array.from({ length: 40 }, (_, i) => `${get(i)}\r\n${get(i)}Expect: the-unexpected\r\n\r\n`);
  client.send(sent.join(''));
  for (const _ of sent) {
    assert.equal((await client.response()).status, 200);
    assert.equal((await client.response()).status, 417);
  }
});

test('a flood of it behind a request that is not answered is not kept', async () => {
  await using silent = await startScriptedWorker(() => undefined);
  await using router = await startRouter([silent]);
  await using client = await RawClient.connect(router.port);
  client.send('GET /never HTTP/1.1\r\nHost: r\r\n\r\n');
  client.send('GET / HTTP/1.1\r\nHost: r\r\nExpect: the-unexpected\r\n\r\n'.repeat(100_000));
  await client.ended();
});
