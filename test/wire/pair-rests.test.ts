/** Blocks that do not get from one worker to another: who is asked then, what is said of it, and when the pair is left alone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chat, streamChat } from '../support/chat.ts';
import { scrape } from '../support/metrics.ts';
import { answerDecode, answerPrefill, startPairs, type PairFleet } from '../support/pairs.ts';
import { recordingLog } from '../support/recording-log.ts';
import type { Script } from '../support/scripted-worker.ts';

const computes =
  (engine: string): Script =>
  (response) =>
    answerPrefill(response, `{"do_remote_prefill":true,"remote_engine_id":"${engine}"}`);

/** Cannot fetch what the engine `sick` keeps, as vLLM says it; with `kv_transfer_params` from elsewhere, or without, it can. */
const fetching: Script = (response, request) => {
  if (!request.body.includes('"sick"')) answerDecode(response, request);
  else if (request.body.includes('"stream":true')) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end('data: {"error":{"message":"KV load failed","code":500}}\n\ndata: [DONE]\n\n');
  } else
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{"message":"internal"}}');
};

/** How often each prefill worker was asked, then each decode worker. */
const asked = ({ prefills, decodes }: PairFleet): number[] =>
  [...prefills, ...decodes].map(({ received }) => received.length);

const oneSick = { prefills: [computes('sick'), computes('well')], decodes: [fetching] };

describe('blocks that do not come', () => {
  for (const [how, ask] of [
    ['a 500', chat],
    ['an error in the place of the first event', streamChat],
  ] as const)
    it(`${how}: another prefill worker is asked, and after three times in a row no other than that`, async () => {
      const lines: { message: string; fields: Record<string, unknown> }[] = [];
      await using pair = await startPairs({ ...oneSick, log: recordingLog(lines) });
      for (let time = 0; time < 12; time++) {
        const response = await ask(pair.fleet);
        assert.equal(response.status, 200);
        assert.match(await response.text(), /hello/);
      }
      // Which of the two is preferred is chance; each time that it is the sick one, the other one is next.
      assert.deepEqual(asked(pair), [3, 12, 15]);
      const metrics = await scrape(pair.fleet);
      assert.equal(metrics.value('vllm_router_pd_errors_total', { error_type: 'handover' }), 3);
      assert.equal(metrics.sum('vllm_router_pd_decode_errors_total'), 3);
      assert.equal(metrics.sum('vllm_router_pd_errors_total'), 3, 'nobody looks for a pair in vain');
      const told = lines.filter(({ message }) => message === 'a pair of workers failed');
      const [first, , rests] = [told[0]?.fields, 0, told.at(-1)?.fields];
      assert.equal(first?.['prefill_worker'], pair.prefills[0]!.url);
      assert.equal(first['decode_worker'], pair.decodes[0]!.url);
      assert.equal(first['connector'], 'nixl');
      assert.equal(rests?.['rests_ms'], 5000);
      assert.equal(told.length, 2, 'the same once a minute, and that it rests');
    });

  it('one worker does all of it where no other prefill worker is there, at once while the pair rests, and says why', async () => {
    await using pair = await startPairs({ prefills: [computes('sick')], decodes: [fetching] });
    for (let time = 0; time < 4; time++) assert.equal((await chat(pair.fleet)).status, 200);
    // Twice a pair for the first request; the second one makes it rest.
    assert.deepEqual(asked(pair), [3, 3 + 4]);
    const { pd } = await pair.fleet.decision();
    assert.deepEqual([pd?.split, pd?.reason], [false, 'no_pair_ready']);
    assert.equal(
      pd?.unready,
      `blocks did not come from ${pair.prefills[0]!.url} to ${pair.decodes[0]!.url} lately`,
    );
  });

  it('where no retry is left one worker does all of it', async () => {
    await using pair = await startPairs({
      ...oneSick,
      prefills: [computes('sick')],
      router: { retry: { maxRetries: 1 } },
    });
    assert.equal((await chat(pair.fleet)).status, 200);
    assert.deepEqual(asked(pair), [1, 2]);
  });

  it('the pair is asked all the same where no one worker may do all of it', async () => {
    await using pair = await startPairs({
      ...{ prefills: [computes('sick')], decodes: [fetching], pd: { fallback: 'none' } },
      router: { retry: { maxRetries: 1 } },
    });
    for (let time = 0; time < 5; time++) assert.equal((await chat(pair.fleet)).status, 500);
    assert.deepEqual(asked(pair), [5, 5]);
  });
});

describe('what there is to know of a pair', () => {
  it('that cannot hand over is told once in the log, and in each record', async () => {
    const lines: { message: string; fields: Record<string, unknown> }[] = [];
    await using pair = await startPairs({ pd: { kvConnector: 'nixl-push' }, log: recordingLog(lines) });
    for (let time = 0; time < 3; time++) assert.equal((await chat(pair.fleet)).status, 200);
    const why = `the engine id of ${pair.prefills[0]!.url} is not known`;
    const { pd } = await pair.fleet.decision();
    assert.deepEqual(pd, { split: false, reason: 'no_pair_ready', unready: why });
    const told = lines.filter(({ message }) => message === 'no pair of workers can hand over');
    assert.deepEqual(
      told.map(({ fields }) => fields),
      [{ reason: why }],
    );
  });

  it('of which the prefill worker refuses the prompt is that this one answered', async () => {
    await using pair = await startPairs({
      prefills: [(response) => response.writeHead(400, { 'content-type': 'application/json' }).end('{}')],
    });
    const response = await chat(pair.fleet);
    assert.deepEqual(
      [response.status, response.headers.get('x-vllm-router-worker')],
      [400, pair.prefills[0]!.url],
    );
    assert.equal((await pair.fleet.decision()).worker, pair.prefills[0]!.url);
  });
});
