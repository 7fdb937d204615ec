import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type WorkerSpec } from '../../config/settings/settings.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { ResponseSink, WorkerRequest } from '../client.ts';
import { leastRequest, probeOneToken } from './one-token.ts';

const SPEC: WorkerSpec = {
  ...{ baseUrl: 'http://w', id: 'http://w@3', rank: 3, apiKey: 'secret', traits: DEFAULT_TRAITS },
};

/** One probe that is under way, and how to answer it. */
function probe(route: string | undefined = '/v1/chat/completions', isAlone = true) {
  const clock = new VirtualClock();
  const controller = new AbortController();
  const sent: { request: WorkerRequest; sink: ResponseSink; aborted: boolean }[] = [];
  const client = {
    send: (request: WorkerRequest, sink: ResponseSink) => {
      const one = { request, sink, aborted: false };
      sent.push(one);
      const ignore = (): void => undefined;
      return { pause: ignore, resume: ignore, abort: () => (one.aborted = true) };
    },
    close: () => undefined,
  };
  const limits = { timeoutMs: 10_000, signal: controller.signal, healthPath: '/healthy' };
  const end = probeOneToken(client, SPEC, isAlone ? { route, model: 'm' } : undefined, clock, limits);
  const [one] = sent;
  assert.ok(one);
  return { clock, controller, end, one, sink: one.sink };
}

describe('a one-token probe', () => {
  it('goes to the same rank, with the key of the worker', () => {
    const { headers, body, path } = leastRequest(SPEC, { route: '/v1/completions', model: '' });
    assert.equal(path, '/v1/completions');
    assert.ok(Buffer.isBuffer(body));
    assert.deepEqual(JSON.parse(body.toString()), { prompt: 'a', max_tokens: 1 });
    const text = headers.join(' ');
    assert.match(text, /authorization Bearer secret/);
    assert.match(text, /x-data-parallel-rank 3/);
  });

  it('asks for nothing but the health of a worker that does nothing by itself', () => {
    const { method, path, body } = probe(undefined, false).one.request;
    assert.deepEqual([method, path, body], ['GET', '/healthy', undefined]);
  });

  for (const [status, end] of [
    [200, 'answered'],
    [404, 'answered'],
    [500, 'failed'],
    [503, 'failed'],
  ] as const)
    it(`${status}: ${end}`, async () => {
      const { sink, end: ended } = probe();
      sink.onHead(status, '', []);
      sink.onEnd([]);
      assert.equal(await ended, end);
    });

  it('is silent when its time is up, and its connection is cut', async () => {
    const { clock, end, one, sink } = probe();
    sink.onHead(200, 'OK', []);
    clock.advance(10_000);
    assert.equal(await end, 'silent');
    assert.equal(one.aborted, true);
  });

  it('has asked nothing when it was called off', async () => {
    const { controller, end, one } = probe();
    controller.abort();
    assert.equal(await end, 'unasked');
    assert.equal(one.aborted, true);
  });

  it('fails where there is no connection', async () => {
    const { end, sink } = probe();
    const code: ErrorCode = 'connect_failed';
    sink.onFailure({ code, message: 'refused', sent: false });
    assert.equal(await end, 'failed');
  });

  it('is a health check where the route has nothing so small', () => {
    const { path, method } = probe('/v1/rerank').one.request;
    assert.deepEqual([method, path], ['GET', '/healthy']);
  });
});
