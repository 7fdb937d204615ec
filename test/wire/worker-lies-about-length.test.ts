/** Answers that are shorter or longer than they say, that do not say, or that are no HTTP: never a silently short answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, readBody, streamChat } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

const ONCE: RouterOptions = { disableRetries: true };

/** A worker that writes these bytes as its answer and then closes, or not. */
function startBlurting(bytes: string, after: 'closes' | 'stays'): Promise<ScriptedWorker> {
  return startScriptedWorker(({ socket }) => {
    socket?.write(bytes, 'latin1', () => {
      if (after === 'closes') socket.end();
    });
  });
}

function fleetOf(worker: ScriptedWorker): Promise<Fleet> {
  return startFleet({ workers: [], extraWorkerUrls: [worker.url], router: ONCE });
}

async function failures(fleet: Fleet): Promise<number> {
  return (await scrape(fleet)).sum('vllm_router_cb_outcomes_total', { outcome: 'failure' });
}

test('an early close before the announced length is a broken answer', async () => {
  await using fleet = await startFleet({
    ...{ workers: [{ faults: ['length:by=10'] }], router: ONCE },
    onlyRegular: 'through a pair a short answer waits until it is whole, and is an error otherwise',
  });
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  const { whole } = await readBody(response);
  assert.ok(!whole);
  const { outcome, error } = await fleet.decision();
  assert.equal(outcome, 'worker_broken');
  assert.match(error ?? '', /^worker_(closed|bad_response)$/);
  assert.equal(await failures(fleet), 1);
});

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

test('bytes beyond the announced length reach nobody, not even the next request', async () => {
  const smuggled = `${HEAD}content-length: 9\r\n\r\n"stolen!"`;
  await using worker = await startBlurting(`${HEAD}content-length: 4\r\n\r\n"ok"${smuggled}`, 'stays');
  await using fleet = await fleetOf(worker);
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await chat(fleet);
    assert.deepEqual([response.status, await response.text()], [200, '"ok"']);
  }
});

test('bytes after the end of a chunked answer reach nobody', async () => {
  const chunked = `${HEAD}transfer-encoding: chunked\r\n\r\n4\r\n"ok"\r\n0\r\n\r\n`;
  await using worker = await startBlurting(
    `${chunked}HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1`,
    'stays',
  );
  await using fleet = await fleetOf(worker);
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await chat(fleet);
    assert.deepEqual([response.status, await response.text()], [200, '"ok"']);
  }
});

const NOT_HTTP: Readonly<Record<string, string>> = {
  'no HTTP at all': 'SSH-2.0-OpenSSH_9.2\r\n',
  'two lengths that differ': `${HEAD}content-length: 4\r\ncontent-length: 5\r\n\r\n"ok"`,
  'a length that is no number': `${HEAD}content-length: four\r\n\r\n"ok"`,
  'a length and chunks': `${HEAD}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\n"ok"\r\n0\r\n\r\n`,
  'a chunk size that is none': `${HEAD}transfer-encoding: chunked\r\n\r\nxyz\r\n`,
  'a head larger than ours may be': `${HEAD}x-large: ${'x'.repeat(40_000)}\r\ncontent-length: 4\r\n\r\n"ok"`,
};
for (const [what, bytes] of Object.entries(NOT_HTTP)) {
  test(`${what}: 502, and it counts`, async () => {
    await using worker = await startBlurting(bytes, 'stays');
    await using fleet = await fleetOf(worker);
    const response = await chat(fleet);
    assert.equal(response.status, 502);
    const { error } = (await response.json()) as { error: { code: string } };
    assert.equal(error.code, 'worker_bad_response');
    assert.equal((await fleet.decision()).outcome, 'worker_broken');
    assert.equal(await failures(fleet), 1);
  });
}

test('a head that breaks off: 502, and it counts', async () => {
  await using worker = await startBlurting('HTTP/1.1 200 OK\r\ncontent-', 'closes');
  await using fleet = await fleetOf(worker);
  assert.equal((await chat(fleet)).status, 502);
  assert.equal((await fleet.decision()).outcome, 'worker_broken');
  assert.equal(await failures(fleet), 1);
});

test('garbage in the middle of a chunked stream breaks it visibly', async () => {
  const bytes = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\nxyz\r\n`;
  await using worker = await startBlurting(bytes, 'stays');
  await using fleet = await fleetOf(worker);
  const { text } = await readBody(await streamChat(fleet));
  assert.match(text, /^data: 1\n\n/);
  assert.match(text, /"code":"worker_bad_response"/);
  assert.equal((await fleet.decision()).outcome, 'worker_broken');
  assert.equal(await failures(fleet), 1);
});

test('a body without framing is whole when its protocol says so', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['no_framing'] }], router: ONCE });
  for (const stream of [false, true]) {
    const response = await chat(fleet, { stream });
    assert.equal(response.status, 200);
    const { text, whole } = await readBody(response);
    assert.ok(whole);
    if (stream) assert.match(text, /data: \[DONE\]\n\n$/);
    else assert.equal((JSON.parse(text) as { object: string }).object, 'chat.completion');
    assert.equal((await fleet.decision((decision) => decision.stream === stream)).outcome, 'ok');
  }
  assert.equal(await failures(fleet), 0);
});

const BARE = 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: ';
const UNFINISHED: Readonly<Record<string, { bytes: string; event: boolean }>> = {
  'an OpenAI stream without [DONE]': { bytes: `${BARE}text/event-stream\r\n\r\ndata: {}\n\n`, event: true },
  'a stream that ends within an event': { bytes: `${BARE}text/event-stream\r\n\r\ndata: {"ch`, event: false },
  'a stream whose text mentions [DONE]': {
    bytes: `${BARE}text/event-stream\r\n\r\ndata: "data: [DONE]"\n\n`,
    event: true,
  },
  'a last event that is cut': {
    bytes: `${BARE}text/event-stream\r\n\r\nevent: message_stop\ndata: {"ty`,
    event: false,
  },
  'JSON that breaks off': { bytes: `${BARE}application/json\r\n\r\n{"choices":[{"te`, event: false },
  'JSON that breaks off within a string': { bytes: `${BARE}application/json\r\n\r\n{"a":"}`, event: false },
};
for (const [what, { bytes, event }] of Object.entries(UNFINISHED)) {
  test(`without framing, ${what} is a broken answer`, async () => {
    await using worker = await startBlurting(bytes, 'closes');
    await using fleet = await fleetOf(worker);
    const response = await chat(fleet, { stream: bytes.includes('event-stream') });
    const { text, whole } = await readBody(response);
    assert.equal(whole, event);
    assert.equal(text.includes('"code":"worker_closed"'), event);
    assert.ok(!text.endsWith('data: [DONE]\n\n'));
    assert.equal((await fleet.decision()).outcome, 'worker_broken');
    assert.equal(await failures(fleet), 1);
  });
}

test('without framing, the ends of the other protocols are ends, too', async () => {
  for (const end of [
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    'event: response.completed\ndata: {"type":"response.completed"}\n\n',
  ]) {
    await using worker = await startBlurting(`${BARE}text/event-stream\r\n\r\n${end}`, 'closes');
    await using fleet = await fleetOf(worker);
    assert.deepEqual(await readBody(await streamChat(fleet)), { text: end, whole: true });
    assert.equal((await fleet.decision()).outcome, 'ok');
  }
});
