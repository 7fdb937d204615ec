import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/virtual-clock.ts';
import type { ResponseSink, WorkerClient } from '../../engines/client.ts';
import type { Runtime } from '../runtime.ts';
import { Attempt, retryAfterMs } from './attempt.ts';

const NOW = Date.parse('2026-11-03T09:21:07.500Z');

for (const [value, expected] of [
  ['0', 0],
  ['3', 3_000],
  [' 120 ', 120_000],
  ['Tue, 03 Nov 2026 09:21:17 GMT', 9_500],
  ['Tue, 03 Nov 2026 09:21:07 GMT', 0],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['', undefined],
  ['soon', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['1e3', undefined],
  ['0x10', undefined],
] as const) {
  test(`Retry-After "${value}" is ${expected === undefined ? 'nothing' : `${expected} ms`}`, () => {
    assert.equal(retryAfterMs(['Retry-After', value], NOW), expected);
  });
}

test('no Retry-After is nothing', () => {
  assert.equal(retryAfterMs(['x-retry-after', '3'], NOW), undefined);
});

test('a delay beyond all reason stays a delay', () => {
  assert.ok((retryAfterMs(['retry-after', '9'.repeat(40)], NOW) ?? 0) > 1e12);
});

test('a stream is given up so long after its last piece, however many came before', () => {
  const clock = new VirtualClock();
  const timeouts = { firstTokenMs: 60_000, streamIdleMs: 1_000 };
  // No more of a runtime and of a client is asked for.
  const rt = { clock, settings: { timeouts } } as unknown as Runtime;
  let sink: ResponseSink | undefined;
  let aborted = 0;
  const client = {
    send: (_request: unknown, given: ResponseSink) => {
      sink = given;
      return { pause: () => undefined, resume: () => undefined, abort: () => (aborted += 1) };
    },
  } as unknown as WorkerClient;
  const request = { method: 'POST', path: '/', headers: [], body: undefined, upgrade: undefined };
  const attempt = new Attempt(rt, client, request, () => false);
  const broken: string[] = [];
  sink!.onConnected();
  sink!.onHead(200, 'OK', []);
  for (let piece = 0; piece < 7; piece += 1) {
    sink!.onData(Buffer.from(String(piece)));
    if (piece === 2)
      attempt.relayTo({
        onChunk: (chunk) => broken.push(chunk.toString()) > 0,
        onComplete: () => undefined,
        onBroken: ({ code }) => broken.push(code),
      });
    clock.advance(700);
  }
  clock.advance(299);
  assert.deepEqual([broken, aborted], [['0', '12', '3', '4', '5', '6'], 0]);
  clock.advance(1);
  assert.deepEqual([broken.at(-1), aborted], ['stream_idle_timeout', 1]);
});
