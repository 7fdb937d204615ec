/** Requests that one worker serves although there are others for prefill. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chat } from '../support/chat.ts';
import { scrape } from '../support/metrics.ts';
import { startPairs } from '../support/pairs.ts';

describe('a request of which the prompt would be computed for nothing', () => {
  for (const fields of [
    { max_tokens: 0 },
    { max_tokens: -5 },
    { max_tokens: 1.5 },
    { max_tokens: 'x' },
    { max_completion_tokens: -1 },
    // Some 2 MB of numbers, which nobody puts together.
    { prompt_logprobs: 20, messages: [{ role: 'user', content: 'word '.repeat(2000) }] },
  ])
    it(`goes to one worker alone: ${JSON.stringify(fields).slice(0, 40)}`, async () => {
      await using pair = await startPairs();
      await (await chat(pair.fleet, fields)).text();
      assert.deepEqual([pair.prefills[0]!.received.length, pair.decodes[0]!.received.length], [0, 1]);
      assert.equal((await pair.fleet.decision()).pd?.reason, 'not_carried');
    });

  it('does not, where it says as much as it may', async () => {
    await using pair = await startPairs();
    for (const fields of [{ max_tokens: null }, { max_tokens: 1 }, { max_tokens: 5, prompt_logprobs: 1 }])
      await (await chat(pair.fleet, fields)).text();
    assert.equal(pair.prefills[0]!.received.length, 3);
  });
});

describe('a fleet that is told not to split', () => {
  it('has one worker do all of each request', async () => {
    await using pair = await startPairs({ pd: { split: 'never' } });
    assert.equal((await chat(pair.fleet)).status, 200);
    assert.deepEqual([pair.prefills[0]!.received.length, pair.decodes[0]!.received.length], [0, 1]);
    assert.deepEqual((await pair.fleet.decision()).pd, { split: false, reason: 'never' });
    assert.equal((await scrape(pair.fleet)).value('vllm_router_pd_whole_total', { reason: 'never' }), 1);
  });
});
