/** A worker that is drained gets nothing new, finishes what it has, and is cut off only when its time is up. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { adminOf } from '../support/admin.ts';
import { chat, pieces, readBody, streamChat, workerOf } from '../support/chat.ts';
import { eventually, type Fleet } from '../support/fleet.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  answerJson,
  startRouter,
  startScriptedWorker,
  type ScriptedWorker,
} from '../support/scripted-worker.ts';

const EVENT = 'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n';

/** A worker that begins a stream for every request and leaves the rest to the test. */
async function startStreamer(): Promise<ScriptedWorker & { readonly open: ServerResponse[] }> {
  const open: ServerResponse[] = [];
  const worker = await startScriptedWorker((response) => {
    response.writeHead(200, ['content-type', 'text/event-stream']).write(EVENT);
    open.push(response);
  });
  return Object.assign(worker, { open });
}

/** A stream that is under way on the only worker, to which a second one is then added. */
async function streamOn(fleet: Fleet): Promise<{ response: Response; rest: AsyncGenerator<string> }> {
  const response = await streamChat(fleet);
  const rest = pieces(response);
  assert.equal((await rest.next()).value, EVENT);
  return { response, rest };
}

const removed = (fleet: Fleet, url: string): Promise<void> =>
  eventually(() => fleet.app.runtime.registry.get(url) === undefined);

test('new requests go elsewhere at once, the stream goes on to its end, then the worker leaves', async () => {
  await using worker = await startStreamer();
  await using other = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const admin = adminOf(fleet);
  const { rest } = await streamOn(fleet);
  await admin('POST', `/add_worker?url=${other.url}`);
  const drain = await admin('POST', '/admin/drain', { url: worker.url });
  assert.deepEqual([drain.status, drain.body.status, drain.body.timeout_secs], [202, 'draining', 300]);
  for (let i = 0; i < 20; i += 1) assert.equal(workerOf(await chat(fleet)), other.url);
  const status = (await admin('GET', `/admin/drain/status?url=${worker.url}`)).body;
  assert.deepEqual([status.draining, status.current_load, status.healthy], [true, 1, true]);
  assert.ok(status.remaining_secs > 290 && status.remaining_secs <= 300);
  assert.equal(status.job.status, 'running');
  const [shown] = (await admin('GET', '/workers')).body.workers;
  assert.deepEqual([shown.draining, shown.job.kind, shown.in_flight], [true, 'remove', 1]);

  worker.open[0]?.write(EVENT);
  assert.equal((await rest.next()).value, EVENT);
  worker.open[0]?.end('data: [DONE]\n\n');
  assert.equal((await rest.next()).value, 'data: [DONE]\n\n');
  assert.equal((await rest.next()).done, true);
  await removed(fleet, worker.url);
  assert.equal((await admin('GET', `/admin/drain/status?url=${worker.url}`)).status, 404);
  assert.equal((await admin('GET', '/workers')).body.total, 1);
});

test('a second drain says how the first one stands, and may bring the end nearer', async () => {
  await using worker = await startStreamer();
  await using fleet = await startRouter([worker]);
  const admin = adminOf(fleet);
  const { response } = await streamOn(fleet);
  const first = await admin('DELETE', `/workers/${worker.url}?timeout_secs=100`);
  const second = await admin('POST', '/admin/drain', { url: worker.url });
  assert.deepEqual([second.status, second.body.job.id], [202, first.body.job.id]);
  assert.ok(second.body.timeout_secs > 90 && second.body.timeout_secs <= 100);
  const third = await admin('POST', '/admin/drain', { url: worker.url, timeout_secs: 0 });
  assert.deepEqual([third.status, third.body.timeout_secs], [202, 0]);
  await removed(fleet, worker.url);
  await response.body?.cancel().catch(() => undefined);
});

test('registering it again calls the drain off', async () => {
  await using worker = await startStreamer();
  await using fleet = await startRouter([worker]);
  const admin = adminOf(fleet);
  const { rest } = await streamOn(fleet);
  await admin('DELETE', `/workers/${worker.url}`);
  assert.equal((await chat(fleet)).status, 503);
  assert.equal((await admin('POST', '/workers', { url: worker.url, priority: 9 })).status, 409);
  const again = await admin('POST', '/workers', { url: worker.url });
  assert.deepEqual([again.status, again.body.status, again.body.worker.draining], [202, 'undrained', false]);
  worker.answer = answerJson;
  assert.equal(workerOf(await chat(fleet)), worker.url);
  worker.open[0]?.end();
  assert.equal((await rest.next()).done, true);
  assert.equal(fleet.app.runtime.registry.get(worker.url)?.draining, false);
  const [job] = (await admin('GET', '/workers')).body.jobs;
  assert.deepEqual([job.kind, job.status, job.reason], ['remove', 'failed', 'registered again']);
});

test('when the time is up a stream is broken off with an error event, and the worker leaves', async () => {
  await using worker = await startStreamer();
  await using fleet = await startRouter([worker]);
  const admin = adminOf(fleet);
  const response = await streamChat(fleet);
  await eventually(() => worker.open.length === 1);
  const gone = once(worker.open[0] as ServerResponse, 'close');
  await admin('POST', '/admin/drain', { url: worker.url, timeout_secs: 0.05 });
  const { text } = await readBody(response);
  assert.match(text, /"code":"worker_removed"/);
  assert.doesNotMatch(text, /\[DONE\]/);
  await gone;
  await removed(fleet, worker.url);
  const decision = await fleet.decision();
  assert.deepEqual(
    [decision.status, decision.outcome, decision.error],
    [200, 'router_error', 'worker_removed'],
  );
});

test('when the time is up a request without an answer yet is served by another worker', async () => {
  await using silent = await startScriptedWorker(() => undefined);
  await using fleet = await startRouter([silent]);
  await using other = await startScriptedWorker();
  const admin = adminOf(fleet);
  const answer = chat(fleet);
  await eventually(() => silent.received.length === 1);
  await admin('POST', `/add_worker?url=${other.url}`);
  await admin('DELETE', `/workers/${silent.url}?timeout_secs=0.05`);
  const response = await answer;
  assert.deepEqual([response.status, workerOf(response)], [200, other.url]);
  const decision = await fleet.decision();
  assert.deepEqual(
    decision.attempts.map(({ worker, error }) => [worker, error]),
    [
      [silent.url, 'worker_removed'],
      [other.url, undefined],
    ],
  );
});

test('when the time is up a tunnel is closed', async () => {
  const { promise: upgraded, resolve } = Promise.withResolvers<Duplex>();
  await using worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      // Unread, it would not notice its end.
      resolve(socket.resume());
    },
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(
    'GET /v1/realtime HTTP/1.1\r\nHost: router\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  assert.equal((await client.response({ interim: true })).status, 101);
  const ended = once(await upgraded, 'end');
  await adminOf(fleet)('POST', '/admin/drain', { url: worker.url, timeout_secs: 0.02 });
  await client.ended();
  await ended;
  await removed(fleet, worker.url);
});

test('what cannot be drained is said', async () => {
  await using fleet = await startRouter([]);
  const admin = adminOf(fleet);
  for (const [body, status, code] of [
    [{ url: 'http://unknown:1' }, 404, 'WORKER_NOT_FOUND'],
    [{}, 400, 'INVALID_REQUEST'],
    [{ url: 'nonsense' }, 400, 'INVALID_REQUEST'],
    [{ url: 'http://a', timeout_secs: -1 }, 400, 'INVALID_REQUEST'],
    [{ url: 'http://a', timeout: 1 }, 400, 'INVALID_REQUEST'],
  ] as const) {
    const answer = await admin('POST', '/admin/drain', body);
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(body));
  }
  assert.equal((await admin('GET', '/admin/drain/status')).body.fields[0].path, 'query.url');
  assert.equal((await admin('GET', '/admin/drain/status?url=http://unknown:1')).status, 404);
});
