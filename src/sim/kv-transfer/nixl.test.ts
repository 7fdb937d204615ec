import assert from 'node:assert/strict';
import { afterEach, before, after, describe, it } from 'node:test';
import { eventually } from '../../../test/support/fleet.ts';
import {
  ask,
  keptBy,
  metricOf,
  newPrompt,
  prefilled,
  startPair,
  TO_PREFILL,
  type SimPair,
} from '../../../test/support/sim-pair.ts';

let pair: SimPair;

before(async () => {
  pair = await startPair({ kvConnector: 'nixl' });
});
afterEach(async () => {
  await Promise.all([pair.prefill.setFaults([]), pair.decode.setFaults([])]);
});
after(async () => {
  await pair[Symbol.asyncDispose]();
});

/** Nobody holds blocks for anybody. */
function allGivenBack(): Promise<void> {
  return eventually(() =>
    [pair.prefill, pair.decode].every((worker) => worker.model.cache.used === 0 && keptBy(worker) === 0),
  );
}

describe('a pair over NIXL', () => {
  it('hands the prompt over: its blocks stay until they are read, and nothing of it is computed twice', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    assert.equal(keptBy(prefill), 1);
    const [blocks] = params['remote_block_ids'] as readonly (readonly number[])[];
    assert.equal(blocks?.length, prefill.model.cache.used);
    const { externalCacheHits } = decode.model.stats;
    const { status, body } = await ask(decode, { prompt, max_tokens: 5, kv_transfer_params: params });
    assert.deepEqual([status, body.kv_transfer_params, body.usage.completion_tokens], [200, null, 5]);
    assert.equal(body.usage.prompt_tokens_details.cached_tokens, 0);
    const { prompt_tokens } = body.usage;
    assert.equal(decode.model.stats.externalCacheHits - externalCacheHits, prompt_tokens);
    assert.equal(await metricOf(decode, 'vllm:nixl_xfer_time_seconds_count'), 1);
    const bytes = Math.ceil(prompt_tokens / 16) * 16 * 131_072;
    assert.equal(await metricOf(decode, 'vllm:nixl_bytes_transferred_sum'), bytes);
    await allGivenBack();
  });

  it('tells nothing where it was not asked to, and nothing in streams, though blocks are kept then', async () => {
    const { prefill } = pair;
    const prompt = newPrompt();
    assert.equal((await ask(prefill, { prompt, max_tokens: 1 })).body.kv_transfer_params, null);
    assert.equal(keptBy(prefill), 0);
    const body = { prompt, max_tokens: 1, stream: true, kv_transfer_params: TO_PREFILL };
    const streamed = await fetch(`${prefill.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    assert.doesNotMatch(await streamed.text(), /kv_transfer_params/);
    assert.equal(keptBy(prefill), 1);
    await ask(prefill, {}, { path: '/abort_requests' }).catch(() => undefined);
    assert.equal(prefill.model.cache.used, 0);
  });

  it('hands over what is asked for by every route that generates', async () => {
    const { prefill, decode } = pair;
    const bodies = {
      '/v1/chat/completions': { messages: [{ role: 'user', content: newPrompt() }], max_tokens: 1 },
      '/v1/responses': { input: newPrompt(), max_output_tokens: 1 },
      '/v1/messages': { messages: [{ role: 'user', content: newPrompt() }], max_tokens: 1 },
      '/inference/v1/generate': {
        token_ids: Array.from({ length: 50 }, (_, i) => i),
        sampling_params: { max_tokens: 1 },
      },
    };
    for (const [path, body] of Object.entries(bodies)) {
      const first = await ask(prefill, { ...body, kv_transfer_params: TO_PREFILL }, { path });
      const { kv_transfer_params } = first.body;
      assert.equal(kv_transfer_params.do_remote_prefill, true, path);
      const hits = decode.model.stats.externalCacheHits;
      const second = await ask(decode, { ...body, kv_transfer_params }, { path });
      assert.equal(second.status, 200, path);
      assert.ok(decode.model.stats.externalCacheHits > hits, path);
    }
    await allGivenBack();
  });

  it('hands over to a response that is made in the background', async () => {
    const { prefill, decode } = pair;
    const body = { input: newPrompt(), max_output_tokens: 1 };
    const path = '/v1/responses';
    const first = await ask(prefill, { ...body, kv_transfer_params: TO_PREFILL }, { path });
    const { kv_transfer_params } = first.body;
    const hits = decode.model.stats.externalCacheHits;
    await ask(decode, { ...body, kv_transfer_params, background: true }, { path, id: 'later' });
    await eventually(() => decode.model.stats.externalCacheHits > hits);
    await allGivenBack();
  });

  it('fetches of a prompt only what it does not have', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    for (const expected of [0, 112]) {
      const params = await prefilled(prefill, prompt);
      assert.equal(params['remote_prefill_cached_tokens'], expected);
      const { body } = await ask(decode, { prompt, max_tokens: 2, kv_transfer_params: params });
      assert.equal(body.usage.prompt_tokens_details.cached_tokens, expected);
    }
    await allGivenBack();
  });
});

/** As if the prefill worker had never had them, or had given them to somebody else since. */
async function stale(): Promise<{ readonly prompt: string; readonly params: Record<string, unknown> }> {
  const prompt = newPrompt();
  const params = await prefilled(pair.prefill, prompt);
  await ask(pair.decode, { prompt: newPrompt(), max_tokens: 1, kv_transfer_params: params });
  await allGivenBack();
  return { prompt, params };
}

describe('a prompt that does not come over', () => {
  it('is a failed request: blocks that are gone, another engine, nobody there, parameters that are missing', async () => {
    const { decode } = pair;
    const failures = async (): Promise<number> => metricOf(decode, 'vllm:nixl_num_failed_transfers_total');
    const { prompt, params } = await stale();
    for (const change of [
      {},
      { remote_engine_id: 'somebody-else' },
      { remote_engine_id: 'somebody-new', remote_port: 1 },
      { remote_block_ids: [] },
      { remote_request_id: null },
    ]) {
      const before = await failures();
      const body = { prompt, max_tokens: 1, kv_transfer_params: { ...params, ...change } };
      const { status, body: problem } = await ask(decode, body);
      assert.equal(status, 500, JSON.stringify(change));
      assert.deepEqual(problem.error, {
        ...{ message: 'Internal server error', type: 'InternalServerError', param: null, code: 500 },
      });
      assert.ok((await failures()) > before, JSON.stringify(change));
    }
    await allGivenBack();
  });

  it('is an error event of a stream', async () => {
    const { prompt, params } = await stale();
    const response = await fetch(`${pair.decode.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ prompt, stream: true, kv_transfer_params: params }),
    });
    assert.match(
      await response.text(),
      /^data: \{"error":\{"message":"Internal server error".*\n\ndata: \[DONE\]\n\n$/,
    );
    await allGivenBack();
  });

  it('is computed where the worker is told to', async () => {
    const { prompt, params } = await stale();
    await using other = await startPair({ kvTransfer: { onFailure: 'recompute' } });
    const { status, body } = await ask(other.decode, { prompt, max_tokens: 3, kv_transfer_params: params });
    assert.deepEqual([status, body.usage.completion_tokens], [200, 3]);
    assert.equal(other.decode.model.stats.externalCacheHits, 0);
  });

  it('comes nevertheless from a known engine, whatever port a request names', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = { ...(await prefilled(prefill, prompt)), remote_port: 1 };
    assert.equal((await ask(decode, { prompt, max_tokens: 1, kv_transfer_params: params })).status, 200);
    await allGivenBack();
  });
});

describe('blocks kept for a decode worker', () => {
  it('are free when nobody comes within the lease', async () => {
    await using own = await startPair({ kvTransfer: { leaseMs: 30 } });
    await prefilled(own.prefill, newPrompt());
    await eventually(() => keptBy(own.prefill) === 0 && own.prefill.model.cache.used === 0);
    assert.equal(await metricOf(own.prefill, 'vllm:nixl_num_kv_expired_reqs_total'), 1);
  });

  it('stay for as long as somebody waits for his turn', async () => {
    await using own = await startPair({ kvTransfer: { leaseMs: 150 } });
    const { prefill, decode } = own;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    decode.model.pause();
    const answer = ask(decode, { prompt, max_tokens: 1, kv_transfer_params: params });
    // Another one, which nobody waits for, shows how long a lease is.
    await prefilled(prefill, newPrompt());
    await prefilled(prefill, newPrompt());
    await eventually(() => keptBy(prefill) === 1);
    decode.model.resume();
    assert.equal((await answer).status, 200);
    await eventually(() => keptBy(prefill) === 0);
  });

  it('are given back by a client that leaves, and by a request that is refused', async () => {
    const { prefill, decode } = pair;
    const prompt = newPrompt();
    const params = await prefilled(prefill, prompt);
    decode.model.pause();
    const leaving = new AbortController();
    const arrived = decode.next('request');
    const left = assert.rejects(
      ask(decode, { prompt, kv_transfer_params: params }, { signal: leaving.signal }),
    );
    await arrived;
    leaving.abort();
    await left;
    await eventually(() => keptBy(prefill) === 0);
    decode.model.resume();
    const more = await prefilled(prefill, newPrompt());
    const refused = await ask(decode, { prompt, max_tokens: -1, kv_transfer_params: more });
    assert.equal(refused.status, 400);
    await allGivenBack();
  });

  it('are none of a client that leaves before its answer', async () => {
    const { prefill } = pair;
    prefill.model.pause();
    const leaving = new AbortController();
    const arrived = prefill.next('request');
    const aborted = prefill.next('aborted');
    const left = assert.rejects(
      ask(prefill, { prompt: newPrompt(), kv_transfer_params: TO_PREFILL }, { signal: leaving.signal }),
    );
    await arrived;
    leaving.abort();
    await Promise.all([left, aborted]);
    prefill.model.resume();
    await allGivenBack();
  });
});
