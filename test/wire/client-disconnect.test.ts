/** A client that leaves is noticed wherever its request is, and whoever works for it is told at once. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { chat, CHAT, pieces, streamChat } from '../support/chat.ts';
import { answering, LEGS } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

/** Sends a chat and gives the means to leave it. */
function leavable(fleet: Fleet, fields: object = {}): { leave(): void; readonly failed: Promise<void> } {
  const controller = new AbortController();
  const response = chat(fleet, fields, { signal: controller.signal });
  const failed = assert.rejects(response, { name: 'AbortError' });
  return { leave: () => controller.abort(), failed };
}

function openLeases(fleet: Fleet, count: number): Promise<void> {
  const { ledger } = fleet.app.runtime;
  return eventually(() => ledger.openLeases === count);
}

test('before the head: the worker is told, the lease comes back, the record says 499', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang'] }] });
  const [worker] = fleet.workers;
  const arrived = worker!.next('request');
  const client = leavable(fleet);
  await arrived;
  assert.equal(fleet.app.runtime.ledger.openLeases, LEGS);
  const aborted = worker!.next('aborted');
  client.leave();
  await Promise.all([client.failed, aborted, openLeases(fleet, 0)]);

  const decision = await fleet.decision();
  assert.equal(decision.status, 499);
  assert.equal(decision.outcome, 'client_abort');
  assert.equal(decision.error, 'client_closed');
  assert.equal(answering(decision).length, 1);
  const metrics = await scrape(fleet);
  assert.equal(metrics.value('vllm_router_client_aborts_total', { route: '/v1/chat/completions' }), 1);
  assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { worker: worker!.url }), 0);
});

test('during prefill of a stream, with the worker’s head already here', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang:after=0'] }] });
  const [worker] = fleet.workers;
  const arrived = worker!.next('request');
  const client = leavable(fleet, { stream: true });
  await arrived;
  const aborted = worker!.next('aborted');
  client.leave();
  await Promise.all([client.failed, aborted, openLeases(fleet, 0)]);
  assert.equal((await fleet.decision()).status, 499);
});

test('mid-stream: the worker stops generating and the record says what was sent', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  const [worker] = fleet.workers;
  const controller = new AbortController();
  const response = await streamChat(
    fleet,
    { max_tokens: 100_000, ignore_eos: true, min_tokens: 100_000 },
    { signal: controller.signal },
  );
  assert.equal(response.status, 200);
  const body = pieces(response);
  await body.next();
  const aborted = worker!.next('aborted');
  controller.abort();
  await aborted;
  await openLeases(fleet, 0);
  assert.equal(worker!.model.running, 0);

  const decision = await fleet.decision();
  assert.equal(decision.status, 200);
  assert.equal(decision.outcome, 'client_abort');
  assert.ok(decision.ttft_ms !== undefined && decision.response_bytes > 0);
  assert.equal((await scrape(fleet)).sum('vllm_router_cb_outcomes_total', { worker: worker!.url }), 0);
});

test('in the queue: its place is freed and no worker hears of it', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['hang:times=1'] }],
    router: { maxConcurrentRequests: 1, queueSize: 1 },
  });
  const [worker] = fleet.workers;
  const { admission } = fleet.app.runtime;
  const arrived = worker!.next('request');
  const first = leavable(fleet);
  await arrived;
  const second = leavable(fleet, { user: 'leaves the queue' });
  await eventually(() => admission.queued === 1);
  second.leave();
  await second.failed;
  await eventually(() => admission.queued === 0);
  // The place is free again: a third may wait in it, and is served when the first leaves.
  const third = chat(fleet);
  await eventually(() => admission.queued === 1);
  first.leave();
  await first.failed;
  assert.equal((await third).status, 200);
  assert.ok(!worker!.seen.some(({ body }) => body.includes('leaves the queue')));
  const left = await fleet.decision(({ attempts }) => attempts.length === 0);
  assert.equal(left.status, 499);
  assert.equal(left.outcome, 'client_abort');
});

test('during backoff: no further attempt is made', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['status:code=503'] }, { faults: ['status:code=503'] }],
    router: { retry: { initialBackoffMs: 60_000, maxBackoffMs: 60_000 } },
  });
  const answered = Promise.race(
    fleet.workers.map((worker) => worker.next('finished', ({ method }) => method === 'POST')),
  );
  const client = leavable(fleet);
  await answered;
  client.leave();
  await Promise.all([client.failed, openLeases(fleet, 0)]);
  const decision = await fleet.decision();
  assert.equal(decision.status, 499);
  assert.deepEqual(
    answering(decision).map(({ status }) => status),
    [503],
  );
});

test('while it is still sending its body: nothing of it is kept', async () => {
  await using fleet = await startFleet({ workers: [{}] });
  const { bodyBytes } = fleet.app.runtime;
  const socket = connect(fleet.port, '127.0.0.1');
  await once(socket, 'connect');
  const body = JSON.stringify(CHAT);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: router\r\ncontent-length: ${body.length + 10}\r\n\r\n${body}`,
  );
  await eventually(() => bodyBytes.held === body.length);
  socket.destroy();
  await eventually(() => bodyBytes.held === 0);
  assert.equal((await fleet.decision()).outcome, 'client_abort');
  assert.ok(!fleet.workers[0]!.seen.some(({ method }) => method === 'POST'));
});

test('a client that resets its connection is one that left', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang:after=2'] }] });
  const [worker] = fleet.workers;
  const socket = connect(fleet.port, '127.0.0.1');
  socket.on('error', () => undefined);
  const body = JSON.stringify({ ...CHAT, stream: true });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: router\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await once(socket, 'data');
  const aborted = worker!.next('aborted');
  socket.resetAndDestroy();
  await Promise.all([aborted, openLeases(fleet, 0)]);
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});
