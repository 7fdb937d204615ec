/** Streams of tenants whose tokens are limited say what they took, to the router alone unless the client asked too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { post, streamChat } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';

const LIMITED = { name: 'blue', key: 'sk-blue', tokensPerMinute: 100_000 };
const BLUE: RequestInit = { headers: { authorization: 'Bearer sk-blue' } };

function start(router: object = { apiKeys: [LIMITED] }): Promise<Fleet> {
  return startFleet({ workers: [{}], clock: new VirtualClock(), router });
}

function sentBody(fleet: Fleet): { stream_options?: { include_usage?: boolean } } {
  const sent = fleet.workers[0]!.seen.findLast(({ method }) => method === 'POST');
  return JSON.parse(String(sent?.body)) as object;
}

for (const path of ['/v1/chat/completions', '/v1/completions']) {
  test(`${path}: the worker is asked, the client does not see the answer`, async () => {
    await using fleet = await start();
    const ask = (options: object): Promise<string> =>
      post(
        fleet,
        path,
        {
          model: 'sim-model',
          messages: [{ role: 'user', content: 'hi' }],
          prompt: 'hi',
          max_tokens: 5,
          stream: true,
          ...options,
        },
        BLUE,
      ).then((response) => response.text());
    const text = await ask({});
    assert.equal(sentBody(fleet).stream_options?.include_usage, true);
    assert.ok(!text.includes('prompt_tokens'), text);
    assert.ok(text.trimEnd().endsWith('data: [DONE]'));
    const record = await fleet.decision();
    assert.equal(record.tokens_estimated, undefined);
    assert.equal(record.completion_tokens, 5);
    const blue = fleet.app.runtime.clients.tenants.named('blue');
    assert.equal(blue?.tokensUsed, (record.prompt_tokens ?? 0) + 5);
    // Who asks, sees.
    assert.match(await ask({ stream_options: { include_usage: true } }), /"prompt_tokens"/);
    assert.ok(!(await ask({ stream_options: { include_usage: false } })).includes('prompt_tokens'));
  });
}

test('only where it is needed', async () => {
  await using off = await start({ apiKeys: [LIMITED], usageInjection: 'off' });
  await (await streamChat(off, {}, BLUE)).text();
  assert.equal(sentBody(off).stream_options, undefined);
  const record = await off.decision();
  assert.equal(record.tokens_estimated, true);
  const blue = off.app.runtime.clients.tenants.named('blue');
  await eventually(() => (blue?.tokensUsed ?? 0) > 0);

  await using unlimited = await start({ apiKeys: [{ name: 'blue', key: 'sk-blue' }] });
  await (await streamChat(unlimited, {}, BLUE)).text();
  assert.equal(sentBody(unlimited).stream_options, undefined);

  await using limited = await start();
  await (
    await post(
      limited,
      '/v1/messages',
      { model: 'sim-model', messages: [{ role: 'user', content: 'x' }], max_tokens: 3, stream: true },
      BLUE,
    )
  ).text();
  assert.equal(sentBody(limited).stream_options, undefined);
  await (
    await post(limited, '/v1/completions', { model: 'sim-model', prompt: 'x', max_tokens: 3 }, BLUE)
  ).text();
  assert.equal(sentBody(limited).stream_options, undefined);
});
