/** Blocks that do not get from one worker to another: who is asked then, what is said of it, and when the pair is left alone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chat, post, streamChat } from '../support/chat.ts';
import { eventually } from '../support/fleet.ts';
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
      const both = { prefill_worker: pair.prefills[0]!.url, decode_worker: pair.decodes[0]!.url };
      const told = lines.filter(({ fields }) => 'prefill_worker' in fields && !('route' in fields));
      assert.deepEqual(
        told.map(({ message }) => message),
        ['a pair of workers failed', 'blocks do not come from one worker to another: the pair rests'],
        'the same once a minute',
      );
      assert.partialDeepStrictEqual(told[0]!.fields, { ...both, connector: 'nixl' });
      assert.deepEqual(told[1]!.fields, { ...both, rests_ms: 5000 });
    });

  it('one worker does all of it where no other prefill worker is there, at once while the pair rests, and says why', async () => {
    await using pair = await startPairs({ prefills: [computes('sick')], decodes: [fetching] });
    for (let time = 0; time < 4; time++) assert.equal((await chat(pair.fleet)).status, 200);
    // Twice a pair for each of three requests, which then run whole; the last one of them makes it rest.
    assert.deepEqual(asked(pair), [6, 6 + 4]);
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

describe('a prompt that no worker computes', () => {
  it('is held against no pair', async () => {
    const poisoned: Script = (response, request) => {
      if (request.body.includes('POISON')) response.writeHead(500).end('{}');
      else answerDecode(response, request);
    };
    await using pair = await startPairs({
      decodes: [poisoned],
      router: { retry: { budgetFloor: 1000, initialBackoffMs: 1, maxBackoffMs: 5 } },
    });
    for (let time = 0; time < 6; time++)
      assert.equal((await chat(pair.fleet, { messages: [{ role: 'user', content: 'POISON' }] })).status, 500);
    await (await chat(pair.fleet)).text();
    assert.equal((await pair.fleet.decision()).pd?.split, true);
  });
});

describe('a stream whose first events are sent before anything is fetched', () => {
  const head = ['created', 'in_progress'].map(
    (name) => `event: response.${name}\ndata: {"type":"response.${name}"}\n\n`,
  );
  const error = 'event: error\ndata: {"type":"error","message":"KV load failed"}\n\n';
  const ask = async (decodes: readonly Script[]): Promise<string> => {
    await using pair = await startPairs({ decodes });
    const body = { model: 'sim-model', input: 'x', stream: true };
    return await (await post(pair.fleet, '/v1/responses', body)).text();
  };
  const streaming =
    (pieces: readonly string[]): Script =>
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let at = 0;
      const next = (): void => {
        if (at < pieces.length) response.write(pieces[at++]!, () => setTimeout(next, 2));
        else response.end();
      };
      next();
    };
  const text =
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi"}\n\n';
  const end = 'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n';

  for (const [how, pieces] of [
    ['at once', [[...head, error].join('')]],
    ['one by one', [...head, error]],
    ['byte by byte', [...[...head, error].join('')]],
  ] as const)
    it(`is not given to the client where the next one is an error: ${how}`, async () => {
      let times = 0;
      const first: Script = (response, request) => {
        streaming((times += 1) === 1 ? pieces : [...head, text, end])(response, request);
      };
      const got = await ask([first]);
      assert.match(got, /"hi"/);
      assert.doesNotMatch(got, /KV load failed/);
      assert.equal(got.match(/response.created"/g)?.length, 1);
    });

  it('is given from its beginning where it goes on', async () => {
    assert.equal(await ask([streaming([...head, text, end])]), [...head, text, end].join(''));
  });
});

describe('the room that a pair takes', () => {
  it('between its workers is there again when the answer begins', async () => {
    let go = (): unknown => assert.fail('no stream has begun');
    const slow: Script = (response, request) => {
      if (!request.body.includes('slow')) {
        answerDecode(response, request);
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
      go = () => response.end('data: [DONE]\n\n');
    };
    await using pair = await startPairs({
      decodes: [slow],
      pd: { maxTransfersPerPair: 1, fallback: 'none' },
    });
    const first = await streamChat(pair.fleet, { user: 'slow' });
    assert.equal((await chat(pair.fleet)).status, 200);
    go();
    await first.text();
  });

  it('at a prefill worker that is told of late is there again when that has answered', async () => {
    let computed = (): unknown => assert.fail('nothing was asked');
    let streamed = (): unknown => assert.fail('no stream has begun');
    const late: Script = (response) => {
      computed = () => answerPrefill(response);
    };
    const early: Script = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
      streamed = () => response.end('data: [DONE]\n\n');
    };
    await using pair = await startPairs({
      ...{ prefills: [late], decodes: [early] },
      pd: { kvConnector: 'sglang', maxPrefillsPerWorker: 1 },
    });
    const response = await streamChat(pair.fleet);
    const slotOf = (url: string): number => pair.fleet.app.runtime.registry.get(url)!.slot;
    const running = (): number => pair.fleet.app.runtime.ledger.own(slotOf(pair.prefills[0]!.url));
    assert.equal(running(), 1);
    computed();
    await eventually(() => running() === 0);
    streamed();
    await response.text();
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
