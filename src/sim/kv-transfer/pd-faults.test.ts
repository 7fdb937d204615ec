import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { eventually } from '../../../test/support/fleet.ts';
import {
  ask,
  keptBy,
  newPrompt,
  prefilled,
  startPair,
  TO_PREFILL,
  type SimPair,
} from '../../../test/support/sim-pair.ts';
import { startSimWorker } from '../server/server.ts';

let pair: SimPair;

before(async () => {
  pair = await startPair({ kvTransfer: { leaseMs: 10_000 } });
});
afterEach(async () => {
  await Promise.all([pair.prefill.setFaults([]), pair.decode.setFaults([])]);
});
after(async () => {
  await pair[Symbol.asyncDispose]();
});

const toPrefill = (): object => ({ prompt: newPrompt(), max_tokens: 1, kv_transfer_params: TO_PREFILL });

describe('faults of a prefill worker', () => {
  it('an error in a 200', async () => {
    await pair.prefill.setFaults(['error_body']);
    const { status, body } = await ask(pair.prefill, toPrefill());
    assert.deepEqual([status, body.error.code], [200, 500]);
  });

  it('no parameters', async () => {
    await pair.prefill.setFaults(['pd_no_params']);
    const { status, body } = await ask(pair.prefill, toPrefill());
    assert.deepEqual([status, body.kv_transfer_params, body.usage.completion_tokens], [200, null, 1]);
  });

  it('parameters of megabytes', async () => {
    await pair.prefill.setFaults(['pd_huge_params:bytes=3000000']);
    const { body } = await ask(pair.prefill, toPrefill());
    assert.equal(body.kv_transfer_params.padding.length, 3_000_000);
    assert.equal(body.kv_transfer_params.do_remote_prefill, true);
  });

  it('death between its answer and the fetch: nothing is left, nobody answers, and it comes back as somebody else', async () => {
    const { prefill, decode } = pair;
    const engineIds = prefill.kvTransfer?.engineIds;
    await prefill.setFaults(['pd_die:times=1']);
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    const refused = await ask(decode, { prompt, max_tokens: 1, kv_transfer_params: params });
    assert.equal(refused.status, 500);
    await eventually(() => prefill.faults.some(({ kind }) => kind === 'refuse'));
    assert.deepEqual([keptBy(prefill), prefill.model.cache.used], [0, 0]);
    assert.notDeepEqual(prefill.kvTransfer?.engineIds, engineIds);
    const again = newPrompt();
    await prefill.setFaults([]);
    const later = await prefilled(prefill, again);
    const { status } = await ask(decode, { prompt: again, max_tokens: 1, kv_transfer_params: later });
    assert.equal(status, 200);
  });

  it('nobody who listens to other workers', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    await prefill.setFaults(['pd_side_down']);
    assert.equal((await ask(decode, { prompt, max_tokens: 1, kv_transfer_params: params })).status, 500);
    await prefill.setFaults([]);
    assert.equal((await ask(decode, { prompt, max_tokens: 1, kv_transfer_params: params })).status, 200);
    await eventually(() => keptBy(prefill) === 0);
  });
});

describe('faults of a decode worker', () => {
  it('parameters that it refuses', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    await decode.setFaults(['pd_reject']);
    assert.equal((await ask(decode, { prompt, kv_transfer_params: params })).status, 400);
    assert.equal((await ask(decode, { prompt, max_tokens: 1 })).status, 200);
  });

  it('a load that fails, after which its owner has the blocks back', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    await decode.setFaults(['pd_load_failure:times=1']);
    assert.equal((await ask(decode, { prompt, kv_transfer_params: params })).status, 500);
    assert.equal((await ask(decode, { prompt, max_tokens: 1 })).status, 200);
    await eventually(() => decode.model.cache.used === 0);
  });

  it('a transfer that takes its time', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    await decode.setFaults(['pd_slow_transfer:ms=100']);
    const from = performance.now();
    assert.equal((await ask(decode, { prompt, max_tokens: 1, kv_transfer_params: params })).status, 200);
    assert.ok(performance.now() - from >= 99);
  });
});

it('only workers that hand over KV cache can have them', async () => {
  await using plain = await startSimWorker({ timeScale: 0 });
  await assert.rejects(plain.setFaults(['pd_reject']), /fault pd_reject: this worker hands over no KV cache/);
  await plain.setFaults(['error_body']);
});
