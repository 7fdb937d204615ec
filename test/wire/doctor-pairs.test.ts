import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { examined, type Examined } from '../support/doctor.ts';
import { startFleet } from '../support/fleet.ts';
import { startPair, type SimPair } from '../support/sim-pair.ts';

/** What the doctor says of the two: the prefill worker stands first. */
async function examinePair({ prefill, decode }: SimPair, ...flags: readonly string[]): Promise<Examined> {
  return examined('--prefill', prefill.url, '--decode', decode.url, ...flags);
}

function saidOfSecond({ report }: Examined, name: string): string {
  const found = report.workers[1]?.checks.find(({ check }) => check === name);
  return `${found?.mark ?? ''}: ${found?.finding ?? ''}`;
}

/** What a prefill worker alone answers wrongly. */
async function withFault(
  fault: string,
  options: SimOptions,
  work: (pair: SimPair) => Promise<void>,
): Promise<void> {
  await using pair = await startPair(options, { prefill: { faults: [fault] } });
  await work(pair);
}

describe('vllm-router doctor, of prefill and decode workers', () => {
  it('proves from both sides that blocks are handed over, by what the decode worker counts', async () => {
    await using pair = await startPair({});
    const found = await examinePair(pair);
    assert.equal(found.code, 0, JSON.stringify(found.report.workers));
    assert.match(
      found.said('kv_connector'),
      /^ok: nixl: it keeps blocks, and tells of them at 127\.0\.0\.1:\d+/,
    );
    assert.match(found.said('handover'), /^ok: 6[45] tokens of the probe went from .* to .* by nixl/);
    assert.match(saidOfSecond(found, 'kv_connector'), /^ok: nixl: its metrics count transfers/);
    assert.match(saidOfSecond(found, 'handover'), /^ok: 6[45] tokens of the probe went from/);
    assert.ok(pair.decode.model.stats.externalCacheHits >= 96);
  });

  for (const kvConnector of ['mooncake', 'storage'] as const)
    it(`proves it of ${kvConnector}`, async () => {
      await using pair = await startPair({ kvConnector });
      const port = String(pair.prefill.kvTransfer?.port);
      const prefill = ['--prefill', pair.prefill.url, ...(kvConnector === 'mooncake' ? [port] : [])];
      const { said } = await examined(...prefill, '--decode', pair.decode.url, '--kv-connector', kvConnector);
      assert.match(said('kv_connector'), new RegExp(`^ok: ${kvConnector}: `));
      assert.match(said('handover'), /^ok: 6[45] tokens of the probe went/);
    });

  it('finds a prefill worker that keeps no blocks', () =>
    withFault('pd_no_params', {}, async (pair) => {
      const { code, said, worker } = await examinePair(pair);
      assert.equal(code, 1);
      assert.match(said('kv_connector'), /^fail: it computes prompts, and keeps no blocks of them/);
      assert.match(said('handover'), /^fail: .*kept no blocks/);
      assert.match(
        worker.checks.find(({ check }) => check === 'kv_connector')?.remedy ?? '',
        /--kv-transfer-config .*NixlConnector/,
      );
    }));

  it('finds a decode worker that computes the prompt itself, though it answers', async () => {
    await using pair = await startPair(
      { kvTransfer: { onFailure: 'recompute' } },
      { decode: { faults: ['pd_load_failure'] } },
    );
    const { code, said } = await examinePair(pair);
    assert.equal(code, 1);
    assert.match(said('handover'), /^fail: .* answered, and computed the prompt itself: nothing came from/);
    assert.match(said('kv_connector'), /^ok/);
  });

  it('finds a decode worker that fails or waits for blocks in vain', async () => {
    {
      await using pair = await startPair({}, { decode: { faults: ['pd_load_failure'] } });
      assert.match((await examinePair(pair)).said('handover'), /^fail: the decode worker .* did not go on/);
    }
    await using pair = await startPair({}, { decode: { faults: ['hang:path=/v1/completions'] } });
    const { said } = await examinePair(pair, '--check-timeout-secs', '1');
    assert.match(said('handover'), /^fail: .*no answer within 0.5 s: it waits for the blocks/);
  });

  it('finds workers that hand over in another mode', async () => {
    await using pair = await startPair({ kvConnector: 'nixl-push' });
    const found = await examinePair(pair);
    assert.match(found.said('kv_connector'), /^fail: it writes blocks to where they are wanted/);
    const named = await examinePair(pair, '--kv-connector', 'nixl-push');
    assert.match(named.said('handover'), /^fail: nixl-push: the engine id of .* is not known/);
  });

  it('says where there is nobody to hand over to, and leaves whole workers alone', async () => {
    await using pair = await startPair({});
    const alone = await examined('--prefill', pair.prefill.url);
    assert.match(alone.said('handover'), /^skipped: there is no decode worker/);
    const whole = await examined('--worker-urls', pair.prefill.url);
    assert.match(whole.said('kv_connector'), /^skipped: it serves whole requests/);
  });

  it('learns from a running router who is who', async () => {
    await using fleet = await startFleet({ workers: [{ role: 'prefill' }, { role: 'decode' }] });
    const { said } = await examined(fleet.url);
    assert.match(said('handover'), /^ok: 6[45] tokens/);
  });

  for (const kvConnector of ['nixl-push', 'sglang', 'storage'] as const)
    it(`learns from a running router how they hand over: ${kvConnector}`, async () => {
      await using fleet = await startFleet({
        workers: [
          { kvConnector, role: 'prefill' },
          { kvConnector, role: 'decode' },
        ],
      });
      const { said } = await examined(fleet.url);
      assert.match(said('kv_connector'), new RegExp(`^ok: ${kvConnector}`));
      assert.match(said('handover'), new RegExp(`^ok: 6[45] tokens of .* by ${kvConnector} `));
    });

  it('says of a decode worker that is down no more than that', async () => {
    await using pair = await startPair({});
    await pair.decode.stop();
    const { said } = await examinePair(pair);
    assert.match(said('handover'), /^skipped: .* does not show its metrics: its own checks say why/);
  });
});
