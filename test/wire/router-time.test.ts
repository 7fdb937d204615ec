import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat } from '../support/chat.ts';
import { answering } from '../support/fleet-shape.ts';
import { startFleet } from '../support/fleet.ts';

test('time spent with a worker that failed is not booked as the router’s own', async () => {
  await using fleet = await startFleet({ router: { retry: { initialBackoffMs: 1 } } });
  const slow = 'delay:ms=300,times=1';
  for (const worker of fleet.workers) await worker.setFaults([slow, 'status:code=503,times=1']);
  const response = await chat(fleet);
  await response.text();
  const decision = await fleet.decision();
  assert.equal(answering(decision).length, 3);
  assert.ok(decision.total_ms >= 600);
  const [, router] = /^router;dur=([\d.]+)/.exec(response.headers.get('server-timing') ?? '') ?? [];
  assert.ok(Number(router) < 200, `router;dur=${router}`);
  assert.ok((decision.overhead_ms ?? Infinity) < 200, `overhead_ms ${decision.overhead_ms}`);
});
