/** How long a retry waits, when there are no more, and what the client gets then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { chat, workerOf } from '../support/chat.ts';
import { answering } from '../support/fleet-shape.ts';
import { advanceUntil, eventually, startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const DOWN = { faults: ['status:code=503'] };

test('pauses grow to their maximum, each with its jitter', async () => {
  const clock = new VirtualClock();
  let draw = 0;
  // The lowest, the highest and middling draws in turn.
  const draws = [0, 0.999_999, 0.5];
  await using fleet = await startFleet({
    workers: [DOWN],
    clock,
    router: {
      policy: 'round_robin',
      retry: {
        maxRetries: 5,
        initialBackoffMs: 100,
        backoffMultiplier: 2,
        maxBackoffMs: 400,
        jitterFactor: 0.25,
      },
    },
    random: () => draws[draw++ % draws.length]!,
    onlyRegular: 'a pair that fails has its prefill worker checked, which draws for the next check',
  });
  const starts: number[] = [];
  fleet.workers[0]!.on(({ type, request }) => {
    if (type === 'request' && request.method === 'POST') starts.push(clock.now());
  });
  draw = 0;
  const response = await advanceUntil(clock, 1, chat(fleet));
  await response.text();
  assert.equal(answering(await fleet.decision()).length, 5);
  const metrics = await scrape(fleet);
  const seconds = [1, 2, 3, 4].map((attempt) =>
    metrics.value('vllm_router_retry_backoff_duration_seconds_sum', { attempt: String(attempt) }),
  );
  // 100, 200, 400 and again 400 ms: 25% less, 25% more, exactly, 25% less.
  assert.deepEqual(
    seconds.map((value) => Math.round(value * 1000)),
    [75, 250, 400, 300],
  );
  for (const [index, second] of seconds.entries()) {
    assert.ok(starts[index + 1]! - starts[index]! >= second * 1000, `attempt ${index + 2} came too early`);
  }
  assert.equal(metrics.value('vllm_router_retries_exhausted_total', { route: '/v1/chat/completions' }), 1);
});

test('when the attempts are used up, the last response is passed on as it is', async () => {
  await using fleet = await startFleet({
    workers: [DOWN, { faults: ['status:code=500,retry_after=7'] }],
    router: {
      policy: 'round_robin',
      retry: { maxRetries: 2, initialBackoffMs: 1 },
      exposeRoutingHeaders: true,
    },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 500);
  assert.equal(response.headers.get('retry-after'), '7');
  assert.equal(workerOf(response), fleet.workers[1]!.url);
  assert.deepEqual(await response.json(), {
    error: { message: 'simulated 500', type: 'InternalServerError', param: null, code: 500 },
  });
  const decision = await fleet.decision();
  assert.equal(decision.status, 500);
  assert.equal(decision.outcome, 'ok');
});

test('when the last attempt did not even answer, the client gets an error of ours', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['close'] }],
    router: { retry: { maxRetries: 2, initialBackoffMs: 1 } },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 502);
  const { error } = (await response.json()) as { error: { code: string; type: string } };
  assert.equal(error.code, 'worker_closed');
  assert.equal(error.type, 'server_error');
  const attempts = answering(await fleet.decision());
  assert.equal(attempts.length, 2);
  // A kept-alive connection that died is none.
  const resent = attempts.filter((attempt) => attempt.resent).length;
  await eventually(() => fleet.workers[0]!.counts.cut === attempts.length + resent);
});

test('disabled retries mean one attempt', async () => {
  await using fleet = await startFleet({
    workers: [DOWN, DOWN],
    router: { disableRetries: true },
  });
  assert.equal((await chat(fleet)).status, 503);
  assert.equal(answering(await fleet.decision()).length, 1);
  assert.equal((await scrape(fleet)).sum('vllm_router_retries_exhausted_total'), 0);
});

test('a pause that would outlast the deadline is not begun', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({
    workers: [DOWN],
    clock,
    router: {
      requestTimeoutSecs: 1,
      retry: { initialBackoffMs: 400, backoffMultiplier: 2, jitterFactor: 0 },
    },
  });
  const response = await advanceUntil(clock, 1, chat(fleet));
  await response.text();
  // 0 ms, 400 ms; the next one would come at 1,200 ms.
  assert.equal(response.status, 503);
  const decision = await fleet.decision();
  assert.equal(answering(decision).length, 2);
  assert.ok(decision.total_ms < 1000);
});
