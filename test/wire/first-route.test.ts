import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OWN_POLICY } from '../support/fleet-shape.ts';
import { startFleet } from '../support/fleet.ts';

const CHAT = {
  model: 'sim-model',
  messages: [{ role: 'user', content: 'Tell me about routers.' }],
  max_tokens: 4,
};

test('a chat goes to a worker and the headers say which and why', async () => {
  await using fleet = await startFleet();
  const response = await fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(CHAT),
  });
  assert.equal(response.status, 200);
  const worker = response.headers.get('x-vllm-router-worker');
  assert.ok(fleet.workers.some(({ url }) => url === worker));
  assert.equal(response.headers.get('x-vllm-router-method'), 'policy');
  assert.equal(response.headers.get('x-vllm-router-policy'), OWN_POLICY);
  assert.equal(response.headers.get('x-vllm-router-model'), 'sim-model');
  assert.match(response.headers.get('x-request-id') ?? '', /^req-[A-Za-z0-9]{24}$/);
  assert.match(response.headers.get('server-timing') ?? '', /^router;dur=[\d.]+, worker;dur=[\d.]+$/);
  await response.json();
  const decision = await fleet.decision();
  assert.equal(decision.worker, worker);
  assert.equal(decision.outcome, 'ok');
  assert.equal(decision.candidates?.length, 2);
});
