/** Whatever the policy: every kind of request is served, explained, and survives a worker that goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLICIES, type PolicyName } from '../../src/routing/policies/index.ts';
import { chat, post, readBody, streamChat, workerOf } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';

// The table's keys are its names.
const NAMES = Object.keys(POLICIES) as PolicyName[];

test('there are policies to test', () => {
  assert.equal(NAMES.length, 9);
});

/** No controller is there to ask. */
const DECIDERS: Partial<Record<PolicyName, PolicyName>> = { lmcache_aware: 'power_of_two' };

for (const policy of NAMES) {
  const decider = DECIDERS[policy] ?? policy;
  test(`${policy}: chats, streams, completions, embeddings and unknown routes`, async () => {
    await using fleet = await startFleet({ workers: [{}, {}, {}], router: { policy } });
    const urls = fleet.workers.map(({ url }) => url);
    const answers = [
      await chat(fleet),
      await streamChat(fleet),
      await post(fleet, '/v1/completions', { model: 'sim-model', prompt: 'hello', max_tokens: 2 }),
      await post(fleet, '/v1/embeddings', { model: 'sim-model', input: 'hello' }),
      await post(fleet, '/v1/messages', {
        model: 'sim-model',
        max_tokens: 2,
        messages: [{ role: 'user', content: 'hello' }],
      }),
      await fetch(`${fleet.url}/ping`),
    ];
    for (const answer of answers) {
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-vllm-router-policy'), decider);
      assert.ok(urls.includes(workerOf(answer) ?? ''));
      assert.ok((await readBody(answer)).whole);
    }
    const { policy: recorded, method, reason, candidates } = await fleet.decision();
    assert.deepEqual([recorded, method, candidates?.length], [decider, 'policy', 3]);
    assert.match(reason ?? '', /^[a-z_]+$/);
  });

  test(`${policy}: one worker after the other fails, and every request is answered`, async () => {
    await using fleet = await startFleet({
      workers: [{}, {}, {}],
      router: { policy, retry: { initialBackoffMs: 1, budgetFloor: 100 } },
    });
    for (const worker of fleet.workers) {
      await worker.setFaults(['close']);
      for (let turn = 0; turn < 6; turn += 1) {
        const response = await chat(fleet, { user: `user ${turn}` });
        assert.equal(response.status, 200);
        assert.notEqual(workerOf(response), worker.url);
        await response.text();
      }
      await worker.setFaults([]);
    }
  });
}
