/** vLLM sends the head of a stream before it computes anything: a worker that dies in between can still be replaced. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, readBody, streamChat, workerOf } from '../support/chat.ts';
import { answering } from '../support/fleet-shape.ts';
import { startFleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const RETRY = { initialBackoffMs: 1 };

for (const stream of [true, false]) {
  for (const fault of ['reset:after=0', 'close:after=0']) {
    const kind = stream ? 'a stream' : 'an answer in one piece';
    test(`${kind}, ${fault} on one worker: the client sees one good answer of the other`, async () => {
      await using fleet = await startFleet({ router: { policy: 'round_robin', retry: RETRY } });
      const [a, b] = fleet.workers;
      await a!.setFaults([fault]);
      const response = await chat(fleet, { stream });
      assert.equal(response.status, 200);
      assert.equal(workerOf(response), b!.url);
      const { text, whole } = await readBody(response);
      assert.ok(whole);
      assert.equal(text.endsWith('data: [DONE]\n\n'), stream);
      assert.doesNotMatch(text, /"error"/);

      const decision = await fleet.decision();
      assert.equal(decision.status, 200);
      assert.equal(decision.outcome, 'ok');
      const attempts = answering(decision);
      assert.equal(attempts.length, 2);
      assert.match(attempts[0]?.error ?? '', /^worker_(closed|bad_response)$/);
      assert.equal(attempts[1]?.status, 200);
      const metrics = await scrape(fleet);
      const counted = (worker: string, outcome: string): number =>
        metrics.value('vllm_router_cb_outcomes_total', { worker, outcome });
      assert.deepEqual([counted(a!.url, 'failure'), counted(a!.url, 'success')], [1, 0]);
      assert.deepEqual([counted(b!.url, 'failure'), counted(b!.url, 'success')], [0, 1]);
      // Nothing had reached the client, so nothing was broken for it.
      assert.equal(metrics.sum('vllm_router_broken_streams_total'), 0);
    });
  }
}

test('with nobody else left, the client gets an honest status, not an empty stream', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { retry: { ...RETRY, maxRetries: 2 } } });
  await fleet.workers[0]!.setFaults(['reset:after=0']);
  const response = await streamChat(fleet);
  assert.equal(response.status, 502);
  assert.equal(response.headers.get('content-type'), 'application/json');
  const { error } = (await response.json()) as { error: { code: string } };
  assert.equal(error.code, 'worker_closed');
  const decision = await fleet.decision();
  assert.equal(decision.outcome, 'worker_broken');
  assert.equal(answering(decision).length, 2);
});
