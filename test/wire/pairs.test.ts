import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { keptBy, newPrompt } from '../support/sim-pair.ts';

/** The router asks for the engines of a prefill worker when it has become healthy. */
function enginesKnown({ app }: Fleet): Promise<void> {
  const { workers } = app.runtime.registry;
  return eventually(() =>
    workers.every(
      ({ traits: { role, kvTransfer } }) => role !== 'prefill' || kvTransfer?.engineIds !== undefined,
    ),
  );
}

describe('a request through a pair', () => {
  for (const kvConnector of ['nixl', 'nixl-push', 'mooncake', 'storage', 'sglang'] as const)
    it(`over ${kvConnector}`, async () => {
      await using fleet = await startFleet({
        workers: [
          { role: 'prefill', kvConnector },
          { role: 'decode', kvConnector },
        ],
      });
      const [prefill] = fleet.prefills;
      const [decode] = fleet.workers;
      assert.ok(prefill && decode);
      if (kvConnector === 'mooncake') await enginesKnown(fleet);
      const response = await fetch(`${fleet.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: newPrompt(), max_tokens: 4, ignore_eos: true }),
      });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      const body = JSON.parse(text) as { usage: { prompt_tokens: number } };
      assert.equal(prefill.model.stats.promptTokens, body.usage.prompt_tokens);
      const { externalCacheHits } = decode.model.stats;
      assert.ok(externalCacheHits >= body.usage.prompt_tokens - 16, `${externalCacheHits} tokens came over`);
      const { pd } = await fleet.decision();
      assert.ok(pd);
      await eventually(() => keptBy(prefill) === 0 && prefill.model.cache.used === 0);
    });
});
