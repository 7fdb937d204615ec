/** Requests that belong together find the same worker, and find their way back when it was away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { chat, workerOf } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';

type PolicyName = Extract<RouterOptions['policy'], string>;

/** Whom each of these users' chats go to. */
async function owners(
  fleet: Fleet,
  users: number,
  init?: (user: number) => RequestInit,
): Promise<(string | null)[]> {
  const urls: (string | null)[] = [];
  for (let user = 0; user < users; user += 1) {
    const response = await chat(fleet, { user: `user ${user}` }, init?.(user));
    assert.equal(response.status, 200);
    await response.text();
    urls.push(workerOf(response));
  }
  return urls;
}

for (const policy of ['consistent_hash', 'rendezvous_hash'] satisfies PolicyName[]) {
  test(`${policy}: a user keeps the worker; a dead worker's users spread, and come back`, async () => {
    await using fleet = await startFleet({
      workers: [{}, {}, {}, {}],
      router: {
        policy,
        retry: { initialBackoffMs: 1 },
        healthCheck: { checkIntervalSecs: 0.02, successThreshold: 1 },
      },
    });
    const before = await owners(fleet, 40);
    assert.equal(new Set(before).size, 4);
    assert.deepEqual(await owners(fleet, 40), before);
    assert.equal((await fleet.decision()).hash_key_source, 'body:user');

    const [gone] = fleet.workers;
    const { health } = fleet.app.runtime.registry.get(gone!.url)!;
    await gone!.setFaults(['refuse']);
    await eventually(() => !health.healthy);
    const during = await owners(fleet, 40);
    const moved = during.filter((_, user) => before[user] === gone!.url);
    assert.ok(!during.includes(gone!.url));
    assert.ok(new Set(moved).size > 1, 'its users all went to one worker');
    for (const [user, url] of during.entries())
      if (before[user] !== gone!.url) assert.equal(url, before[user]);

    await gone!.setFaults([]);
    await eventually(() => health.healthy);
    const after = await owners(fleet, 40);
    if (policy === 'rendezvous_hash') assert.deepEqual(after, before);
    else assert.ok(after.every((url, user) => url === before[user] || url === during[user]));
  });
}

test('a session header goes before the user in the body', async () => {
  await using fleet = await startFleet({ workers: [{}, {}, {}], router: { policy: 'consistent_hash' } });
  const urls = await owners(fleet, 12, () => ({ headers: { 'x-session-id': 'one and the same' } }));
  assert.equal(new Set(urls).size, 1);
  assert.equal((await fleet.decision()).hash_key_source, 'header:x-session-id');
});

for (const policy of ['cache_aware', 'least_work'] satisfies PolicyName[]) {
  test(`${policy}: a conversation stays where its beginning is cached`, async () => {
    await using fleet = await startFleet({ workers: [{}, {}, {}], router: { policy } });
    const conversations = Array.from({ length: 6 }, (_, id) => [
      { role: 'system', content: `${id} ${'You are a helpful assistant. '.repeat(40)}` },
      { role: 'user', content: 'Hello.' },
    ]);
    const homes: (string | null)[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      for (const [id, messages] of conversations.entries()) {
        const response = await chat(fleet, { messages });
        const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
        homes[id] ??= workerOf(response);
        assert.equal(workerOf(response), homes[id], `turn ${turn} of conversation ${id}`);
        messages.push({ role: 'assistant', content: choices[0]!.message.content });
        messages.push({ role: 'user', content: 'Go on.' });
      }
    }
    assert.equal(new Set(homes).size, 3, 'conversations are spread over the workers');
    const {
      actual_cached_tokens: actual,
      predicted_cached_tokens: predicted,
      prompt_tokens: all,
    } = await fleet.decision();
    assert.ok(actual! > 0.8 * all!, `${actual} of ${all} tokens were cached`);
    assert.ok(Math.abs(predicted! - actual!) < 0.2 * all!, `predicted ${predicted}, were ${actual}`);
  });
}
