/** Every connector between simulated workers that hand over as vLLM's do on the wire: nothing is computed twice, and nothing is kept. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { SIM_KV_CONNECTORS, type SimKvConnector } from '../../src/sim/kv-transfer/settings.ts';
import type { SimWorker } from '../../src/sim/server/server.ts';
import { post } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { keptBy, newPrompt } from '../support/sim-pair.ts';

/** Where the router listens beside HTTP: workers register themselves there, or say what has arrived. */
const LISTENS: Partial<Record<SimKvConnector, (address: string) => RouterOptions['pd']>> = {
  lmcache: (address) => ({ lmcacheNotices: address }),
  'p2p-nccl': (address) => ({ discoveryAddress: address }),
  moriio: (address) => ({ discoveryAddress: address }),
};

async function startPair(kvConnector: SimKvConnector): Promise<Fleet> {
  const listens = LISTENS[kvConnector];
  const proxyAddress = listens && `127.0.0.1:${await freePort()}`;
  const worker = { kvConnector, ...(proxyAddress !== undefined && { kvTransfer: { proxyAddress } }) };
  const fleet = await startFleet({
    workers: [
      { role: 'prefill', ...worker },
      { role: 'decode', ...worker },
    ],
    waitForWorkers: false,
    router: proxyAddress === undefined ? {} : { pd: listens?.(proxyAddress) },
  });
  const { registry } = fleet.app.runtime;
  const isReady = (): boolean =>
    registry.workers.length === 2 &&
    registry.workers.every(
      ({ health, models, traits: { role, kvTransfer } }) =>
        health.healthy &&
        models.size > 0 &&
        (kvConnector !== 'mooncake' || role !== 'prefill' || kvTransfer?.engineIds !== undefined),
    );
  await eventually(isReady, 20_000);
  return fleet;
}

/** What the one has computed, and the other been handed. */
function tokensOf(prefill: SimWorker, decode: SimWorker): readonly number[] {
  return [prefill.model.stats.promptTokens, decode.model.stats.externalCacheHits];
}

describe('a request through a pair', () => {
  for (const kvConnector of SIM_KV_CONNECTORS)
    it(`over ${kvConnector}, in one piece and streamed`, async () => {
      await using fleet = await startPair(kvConnector);
      const [prefill] = fleet.prefills;
      const [decode] = fleet.workers;
      assert.ok(prefill && decode);
      for (const stream of [false, true]) {
        const before = tokensOf(prefill, decode);
        const body = {
          ...{ model: 'sim-model', prompt: newPrompt(), max_tokens: 4, ignore_eos: true, stream },
          ...(stream && { stream_options: { include_usage: true } }),
        };
        const headers = { 'x-request-id': `mine-${stream}` };
        const response = await post(fleet, '/v1/completions', body, { headers });
        const text = await response.text();
        assert.equal(response.status, 200, text);
        assert.ok(
          !text.includes('"remote_') && !text.includes('transfer_id') && !text.includes('_addr_'),
          text,
        );
        const ids = new Set(text.match(/(?<="id": ?")[^"]*/g));
        assert.equal(ids.size, 1, text);
        assert.match(
          [...ids][0]!,
          new RegExp(`^cmpl-mine-${stream}(-0)?$`),
          'the id is made of what the client calls it',
        );
        const {
          pd,
          attempts,
          prompt_tokens: tokens = 0,
        } = await fleet.decision((decision) => decision.stream === stream);
        assert.deepEqual([pd?.split, pd?.connector, pd?.unhanded], [true, kvConnector, undefined]);
        assert.deepEqual(
          attempts.map(({ role, status }) => [role, status]),
          [
            ['prefill', 200],
            ['decode', 200],
          ],
        );
        const [computed = 0, came = 0]: number[] = tokensOf(prefill, decode).map(
          (count, at) => count - (before[at] ?? 0),
        );
        assert.equal(computed, tokens);
        assert.ok(came >= tokens - 16, `${came} of ${tokens} tokens came over`);
        await eventually(() => keptBy(prefill) === 0 && prefill.model.cache.used === 0);
      }
    });
});
