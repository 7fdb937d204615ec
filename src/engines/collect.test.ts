import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryInUse } from '../../test/support/memory.ts';
import { systemClock } from '../base/system-clock.ts';
import type { ResponseSink, WorkerClient, WorkerRequest } from './client.ts';
import { collect } from './collect.ts';

const REQUEST: WorkerRequest = {
  method: 'GET',
  path: '/metrics',
  headers: [],
  body: undefined,
  upgrade: undefined,
};

/** A worker whose answers the test sends piece by piece. */
function scripted(): { client: WorkerClient; sink: () => ResponseSink; aborted: () => boolean } {
  let sink: ResponseSink | undefined;
  let aborted = false;
  const exchange = {
    pause: () => undefined,
    resume: () => undefined,
    abort: () => {
      aborted = true;
    },
  };
  return {
    client: {
      send: (_, to) => {
        sink = to;
        return exchange;
      },
      close: () => undefined,
    },
    sink: () => sink ?? assert.fail('nothing has been sent'),
    aborted: () => aborted,
  };
}

test('an answer in single bytes costs what its bytes cost', async () => {
  const { client, sink } = scripted();
  const size = 300_000;
  const collected = collect(client, REQUEST, systemClock, { timeoutMs: 60_000, maxBytes: size });
  sink().onHead(200, 'OK', ['a', 'b']);
  const before = memoryInUse();
  for (let at = 0; at < size; at += 1) sink().onData(Buffer.allocUnsafeSlow(1).fill(97 + (at % 26)));
  const cost = memoryInUse() - before;
  assert.ok(cost < 3 * size, `${cost} bytes of memory`);
  sink().onEnd([]);
  const answer = await collected;
  assert.equal(answer.kind, 'response');
  assert.equal(answer.kind === 'response' && answer.body.toString('latin1', 0, 4), 'abcd');
  assert.equal(answer.kind === 'response' && answer.body.length, size);
});

test('an answer of exactly the limit is taken, one of a byte more is given up', async () => {
  for (const [parts, kind] of [
    [['12345', '67890'], 'response'],
    [['12345', '678901'], 'failed'],
  ] as const) {
    const { client, sink, aborted } = scripted();
    const collected = collect(client, REQUEST, systemClock, { timeoutMs: 60_000, maxBytes: 10 });
    sink().onHead(200, 'OK', []);
    for (const part of parts) sink().onData(Buffer.from(part));
    if (kind === 'response') sink().onEnd([]);
    assert.equal((await collected).kind, kind);
    assert.equal(aborted(), kind === 'failed');
  }
});
