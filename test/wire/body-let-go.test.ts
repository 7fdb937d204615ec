/** A request's body is held only as long as it may have to be sent again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pieces, streamChat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';

const LONG = [{ role: 'user', content: 'x'.repeat(200_000) }];

test('the bytes of a prompt are given back when the answer begins, not when it ends', async () => {
  await using fleet = await startFleet({ workers: [{ faults: ['hang:after=2'] }] });
  const { bodyBytes, ledger } = fleet.app.runtime;
  const controller = new AbortController();
  const response = await streamChat(fleet, { messages: LONG }, { signal: controller.signal });
  const answer = pieces(response);
  await answer.next();
  assert.equal(bodyBytes.held, 0);
  assert.equal(ledger.openLeases, 1, 'the stream is still under way');
  controller.abort();
  await assert.rejects(async () => {
    for await (const piece of answer) assert.ok(piece);
  });
});

test('before that they are held, and reach the second worker when the first one breaks', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['reset'] }, {}],
    router: { policy: 'round_robin' },
  });
  for (let turn = 0; turn < 2; turn += 1) {
    const response = await streamChat(fleet, { messages: LONG });
    assert.equal(response.status, 200);
    await response.text();
  }
  const sent = fleet.workers.flatMap(({ seen }) => seen).filter(({ url }) => url === '/v1/chat/completions');
  assert.ok(sent.length > 2, 'the first worker was tried');
  for (const { body } of sent) assert.equal(JSON.parse(body.toString()).messages[0].content.length, 200_000);
});
