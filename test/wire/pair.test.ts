import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import type { Decision } from '../../src/request/record/decision.ts';
import { adminOf } from '../support/admin.ts';
import { chat, post, streamChat } from '../support/chat.ts';
import { eventually } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { answerDecode, answerPrefill, PARAMS, startPairs } from '../support/pairs.ts';

const headersOf = (response: Response): Record<string, string | null> =>
  Object.fromEntries(
    ['worker', 'prefill-worker', 'policy'].map((name) => [
      name,
      response.headers.get(`x-vllm-router-${name}`),
    ]),
  );

describe('a request through a pair', () => {
  it('has its prompt computed by one worker, and its answer by the other, from the very blocks', async () => {
    await using pair = await startPairs();
    const text =
      '{"model":"sim-model","messages":[{"role":"user","content":"hi"}],"max_tokens":4,"seed":12345678901234567890,"x":1.0}';
    const response = await post(
      pair.fleet,
      '/v1/chat/completions',
      {},
      {
        body: text,
        headers: { 'x-request-id': 'mine', 'x-custom': 'kept', authorization: 'Bearer theirs' },
      },
    );
    assert.equal(response.status, 200);
    const [prefill, decode] = [pair.prefills[0]!, pair.decodes[0]!];
    assert.deepEqual(headersOf(response), {
      worker: decode.url,
      'prefill-worker': prefill.url,
      policy: 'pair_cost',
    });
    const asked = prefill.last.body.toString();
    assert.ok(asked.includes('"seed":12345678901234567890') && asked.includes('"x":1.0'), asked);
    const { max_tokens, stream, kv_transfer_params } = JSON.parse(asked) as Record<string, unknown>;
    assert.deepEqual([max_tokens, stream], [1, false]);
    assert.equal((kv_transfer_params as Record<string, unknown>)['do_remote_decode'], true);
    assert.equal(decode.last.body.toString(), `${text.slice(0, -1)},"kv_transfer_params":${PARAMS}}`);
    for (const { headers } of [prefill.last, decode.last])
      assert.deepEqual(
        [headers['x-request-id'], headers['x-custom'], headers['authorization']],
        ['mine', 'kept', 'Bearer theirs'],
      );
    const answer = (await response.json()) as Record<string, unknown>;
    assert.equal(answer['kv_transfer_params'], null);
    assert.deepEqual((answer['usage'] as Record<string, unknown>)['prompt_tokens_details'], {
      cached_tokens: 16,
    });
  });

  it('streams, and tells in the last events what the prefill worker told', async () => {
    await using pair = await startPairs();
    const body = await (await streamChat(pair.fleet, { stream_options: { include_usage: true } })).text();
    assert.match(body, /"cached_tokens":16/);
    assert.match(body, /"kv_transfer_params":null/);
    assert.ok(body.endsWith('data: [DONE]\n\n'));
    const prefilled = JSON.parse(pair.prefills[0]!.last.body.toString()) as Record<string, unknown>;
    assert.deepEqual([prefilled['stream'], 'stream_options' in prefilled], [false, false]);
  });

  it('is recorded as two attempts, with what either way was expected to take', async () => {
    await using pair = await startPairs();
    await (await chat(pair.fleet)).text();
    const decision = await pair.fleet.decision();
    const { pd, attempts, worker } = decision;
    const { actual_cached_tokens: cached, predicted_ttft_ms: ttft } = decision;
    assert.deepEqual(
      attempts.map(({ worker: url, role, status }) => ({ url, role, status })),
      [
        { url: pair.prefills[0]!.url, role: 'prefill', status: 200 },
        { url: pair.decodes[0]!.url, role: 'decode', status: 200 },
      ],
    );
    assert.deepEqual(
      { split: pd?.split, reason: pd?.reason, connector: pd?.connector, prefill: pd?.prefill_worker },
      { split: true, reason: 'always', connector: 'nixl', prefill: pair.prefills[0]!.url },
    );
    assert.ok(
      (pd?.pair_ms ?? 0) > 0 && (pd?.whole_ms ?? 0) > 0 && (pd?.prefill_ms ?? 0) > 0,
      JSON.stringify(pd),
    );
    assert.deepEqual([worker, cached], [pair.decodes[0]!.url, 16]);
    const of = (all: Decision['candidates']): string[] => (all ?? []).map(({ worker: url }) => url);
    assert.deepEqual(of(decision.candidates), [pair.decodes[0]!.url]);
    assert.deepEqual(of(decision.prefill_candidates), [pair.prefills[0]!.url]);
    const [first] = decision.prefill_candidates ?? [];
    assert.ok((first?.score ?? 0) > 0 && first?.running === 0, JSON.stringify(first));
    assert.ok(ttft !== undefined && ttft > 0 && ttft <= (pd?.pair_ms ?? 0), `${ttft}`);
    const metrics = await scrape(pair.fleet);
    assert.equal(metrics.sum('vllm_router_pd_requests_total'), 1);
    assert.equal(metrics.sum('vllm_router_pd_handover_seconds_count'), 1);
  });

  for (const [path, body] of [
    ['/v1/completions', { model: 'sim-model', prompt: 'hello', max_tokens: 4 }],
    ['/v1/responses', { model: 'sim-model', input: 'hello', max_output_tokens: 4 }],
    ['/v1/messages', { model: 'sim-model', messages: [{ role: 'user', content: 'x' }], max_tokens: 4 }],
    [
      '/inference/v1/generate',
      { model: 'sim-model', token_ids: [1, 2, 3], sampling_params: { max_tokens: 4 } },
    ],
  ] as const)
    it(`serves ${path}`, async () => {
      await using pair = await startPairs();
      const response = await post(pair.fleet, path, body);
      assert.equal(response.status, 200);
      const length = response.headers.get('content-length');
      assert.equal(length, String(Buffer.byteLength(await response.text())));
      assert.deepEqual([pair.prefills[0]!.received.length, pair.decodes[0]!.received.length], [1, 1]);
      assert.equal(pair.prefills[0]!.last.url, path);
    });

  for (const [what, path, body] of [
    ['embeddings', '/v1/embeddings', { model: 'sim-model', input: 'x' }],
    ['several answers', '/v1/chat/completions', { n: 2 }],
    ['several prompts', '/v1/completions', { model: 'sim-model', prompt: ['a', 'b'] }],
    ['a streamed echo', '/v1/completions', { model: 'sim-model', prompt: 'a', echo: true, stream: true }],
  ] as const)
    it(`has one worker do all of ${what}, and says so`, async () => {
      await using pair = await startPairs();
      const response = await post(pair.fleet, path, { model: 'sim-model', messages: [], ...body });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('x-vllm-router-prefill-worker'), null);
      await response.text();
      assert.equal(pair.prefills[0]!.received.length, 0);
      assert.deepEqual((await pair.fleet.decision()).pd, { split: false, reason: 'not_carried' });
    });
});

describe('a request that is only talked about', () => {
  it('is told what another policy would do with both halves', async () => {
    await using pair = await startPairs();
    const { body } = await adminOf(pair.fleet)('POST', '/admin/explain', {
      ...{ path: '/v1/completions', policy: 'round_robin' },
      body: { model: 'sim-model', prompt: 'hello' },
    });
    assert.deepEqual(
      [body.policy, body.reason, body.worker],
      ['round_robin', 'next_in_turn', pair.decodes[0]!.url],
    );
    assert.deepEqual([body.pd.prefill_policy, body.pd.prefill_reason], ['round_robin', 'next_in_turn']);
    assert.equal(body.prefill_candidates[0].worker, pair.prefills[0]!.url);
    const ownHalf = { stage: 'prefill', policy: 'random' };
    assert.equal((await adminOf(pair.fleet)('PUT', '/admin/policy', ownHalf)).status, 200);
    const other = await adminOf(pair.fleet)('POST', '/admin/explain', {
      ...{ path: '/v1/completions', policy: 'round_robin' },
      body: { model: 'sim-model', prompt: 'hello' },
    });
    assert.deepEqual([other.body.policy, other.body.pd.prefill_policy], ['round_robin', 'random']);
  });
});

describe('a pair that is not ready', () => {
  it('is left whole and counted; a request that is only talked about counts nothing', async () => {
    // Nobody has said under which name the prefill worker keeps its blocks.
    await using pair = await startPairs({ pd: { kvConnector: 'nixl-push' } });
    const counted = async (): Promise<number> =>
      (await scrape(pair.fleet)).value('vllm_router_pd_errors_total', { error_type: 'server_selection' }) ??
      0;
    const { body } = await adminOf(pair.fleet)('POST', '/admin/explain', {
      path: '/v1/chat/completions',
      body: { model: 'sim-model', messages: [{ role: 'user', content: 'x' }] },
    });
    const unready = `the engine id of ${pair.prefills[0]!.url} is not known`;
    assert.deepEqual(body.pd, { split: false, reason: 'no_pair_ready', unready });
    assert.equal(await counted(), 0);
    assert.equal((await chat(pair.fleet)).status, 200);
    assert.equal(await counted(), 1);
  });
});

describe('what a client says of handing over', () => {
  const BODIES = [{ kv_transfer_params: { do_remote_prefill: true } }, { bootstrap_host: 'evil' }] as const;
  for (const fields of BODIES) {
    it(`is refused: ${Object.keys(fields)[0]}`, async () => {
      await using pair = await startPairs();
      const response = await chat(pair.fleet, fields);
      const { error } = (await response.json()) as { error: { code: string } };
      assert.deepEqual([response.status, error.code], [400, 'kv_transfer_params_refused']);
      assert.equal(pair.prefills[0]!.received.length + pair.decodes[0]!.received.length, 0);
    });

    it(`is taken out where that is configured: ${Object.keys(fields)[0]}`, async () => {
      await using pair = await startPairs({ pd: { clientParams: 'drop' } });
      assert.equal((await chat(pair.fleet, fields)).status, 200);
      const [key] = Object.keys(fields);
      const sent = JSON.parse(pair.prefills[0]!.last.body.toString()) as Record<string, unknown>;
      assert.notDeepEqual(sent[key!], Object.values(fields)[0]);
    });
  }

  it('is refused in headers, or dropped', async () => {
    const headers = { 'x-prefiller-host-port': '10.0.0.1:1' };
    await using refusing = await startPairs();
    assert.equal((await chat(refusing.fleet, {}, { headers })).status, 400);
    await using dropping = await startPairs({ pd: { clientParams: 'drop' } });
    assert.equal((await chat(dropping.fleet, {}, { headers })).status, 200);
    assert.equal(dropping.decodes[0]!.last.headers['x-prefiller-host-port'], undefined);
  });

  it('is refused in the name of the request, by which some workers find each other', async () => {
    for (const clientParams of ['refuse', 'drop'] as const)
      for (const id of ['a___prefill_addr_10.0.0.1:1___', 'a___decode_addr_10.0.0.1:1_b']) {
        await using pair = await startPairs({ pd: { clientParams } });
        const response = await chat(pair.fleet, { n: 2 }, { headers: { 'x-request-id': id } });
        const { error } = (await response.json()) as { error: { code: string } };
        assert.deepEqual([response.status, error.code], [400, 'kv_transfer_params_refused']);
        assert.equal(pair.decodes[0]!.received.length, 0);
      }
  });

  it('null says nothing', async () => {
    await using pair = await startPairs();
    assert.equal((await chat(pair.fleet, { kv_transfer_params: null })).status, 200);
  });
});

/** Nobody must send the second leg with what an earlier first one told. */
describe('a prefill worker that fails', () => {
  const FAULTS: Readonly<Record<string, (response: ServerResponse) => void>> = {
    'with 500': (response) => response.writeHead(500).end('{}'),
    'with 503': (response) => response.writeHead(503).end('{}'),
    'with garbage': (response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('<html>'),
    'with an error in a 200': (response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}'),
    'with params of megabytes': (response) => {
      answerPrefill(response, `{"remote_block_ids":[${'1,'.repeat(3_000_000)}1]}`);
    },
    'by breaking off': (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"id":');
      setImmediate(() => response.destroy());
    },
    'by closing': (response) => response.destroy(),
    'with an encoded answer': (response) =>
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end('xx'),
    'with a redirect': (response) => response.writeHead(302, { location: 'http://evil/' }).end(),
  };
  for (const [how, fail] of Object.entries(FAULTS)) {
    it(`${how} is followed by another pair`, async () => {
      await using pair = await startPairs({ prefills: [fail, (response) => answerPrefill(response)] });
      for (let time = 0; time < 2; time++) assert.equal((await chat(pair.fleet)).status, 200);
      assert.equal(pair.decodes[0]!.received.length, 2);
      for (const { body } of pair.decodes[0]!.received) assert.ok(body.includes('"e-1"'));
      assert.ok((await scrape(pair.fleet)).sum('vllm_router_pd_prefill_errors_total') >= 1);
    });

    it(`${how} is followed by one worker that does all of it, where nobody else is there`, async () => {
      await using pair = await startPairs({ prefills: [fail] });
      assert.equal((await chat(pair.fleet)).status, 200);
      assert.ok(pair.prefills[0]!.received.length > 0);
      assert.equal(pair.decodes[0]!.received.length, 1);
      assert.ok(!pair.decodes[0]!.last.body.includes('kv_transfer_params'));
      const { pd } = await pair.fleet.decision();
      assert.deepEqual(pd, { split: false, reason: 'pair_failed' });
    });
  }

  it('is no success where nobody may do all of it', async () => {
    const fail = (response: ServerResponse): unknown => response.writeHead(500).end('{"error":"mine"}');
    await using pair = await startPairs({ prefills: [fail], pd: { fallback: 'none' } });
    const response = await chat(pair.fleet);
    assert.deepEqual([response.status, await response.text()], [500, '{"error":"mine"}']);
    assert.equal(pair.decodes[0]!.received.length, 0);
  });

  it('is the client’s matter where it refuses the prompt', async () => {
    const refuse = (response: ServerResponse): unknown =>
      response
        .writeHead(400, { 'content-type': 'application/json', 'x-its-own': '1' })
        .end('{"error":{"message":"too long"}}');
    await using pair = await startPairs({ prefills: [refuse] });
    const response = await chat(pair.fleet);
    assert.deepEqual(
      [response.status, response.headers.get('x-its-own'), await response.text()],
      [400, '1', '{"error":{"message":"too long"}}'],
    );
    assert.deepEqual([pair.prefills[0]!.received.length, pair.decodes[0]!.received.length], [1, 0]);
  });

  it('is not waited for any longer than configured', async () => {
    await using pair = await startPairs({ prefills: [() => undefined], pd: { prefillTimeoutSecs: 0.1 } });
    assert.equal((await chat(pair.fleet)).status, 200);
    const { attempts } = await pair.fleet.decision();
    assert.deepEqual(
      attempts.map(({ role, error }) => [role, error]),
      [
        ['prefill', 'first_token_timeout'],
        [undefined, undefined],
      ],
    );
  });

  it('that kept no blocks is told of, and the other one computes the prompt', async () => {
    await using pair = await startPairs({ prefills: [(response) => answerPrefill(response, 'null')] });
    assert.equal((await chat(pair.fleet)).status, 200);
    assert.ok(!pair.decodes[0]!.last.body.includes('kv_transfer_params'));
    assert.equal((await pair.fleet.decision()).pd?.unhanded, 'no_params');
    assert.equal(
      (await scrape(pair.fleet)).value('vllm_router_pd_errors_total', { error_type: 'no_params' }),
      1,
    );
  });
});

describe('a decode worker that fails', () => {
  it('is followed by another pair: the prompt is computed anew', async () => {
    let params = 0;
    const prefill = (response: ServerResponse): void => {
      answerPrefill(response, `{"remote_engine_id":"${(params += 1)}"}`);
    };
    await using pair = await startPairs({
      prefills: [prefill],
      decodes: [(response) => response.writeHead(503).end(), answerDecode],
    });
    for (let time = 0; time < 2; time++) assert.equal((await chat(pair.fleet)).status, 200);
    const sent = [...pair.decodes[0]!.received, ...pair.decodes[1]!.received].flatMap(
      ({ body }) => /"remote_engine_id":"(\d+)"/.exec(body.toString())?.[1] ?? [],
    );
    assert.equal(new Set(sent).size, sent.length, 'each is used once');
  });

  it('with 400, where the other has taken the prompt, may have refused what it was told: it is asked without', async () => {
    const picky = (response: ServerResponse, request: Parameters<typeof answerDecode>[1]): void => {
      if (request.body.includes('kv_transfer_params')) response.writeHead(400).end('{}');
      else answerDecode(response, request);
    };
    await using pair = await startPairs({ decodes: [picky] });
    assert.equal((await chat(pair.fleet)).status, 200);
    assert.equal(
      (await scrape(pair.fleet)).value('vllm_router_pd_errors_total', { error_type: 'decode_rejected' }),
      1,
    );
  });

  it('in the first event of its stream is followed by another pair', async () => {
    let times = 0;
    const failing = (response: ServerResponse, request: Parameters<typeof answerDecode>[1]): void => {
      if ((times += 1) > 1) {
        answerDecode(response, request);
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end('data: {"error":{"message":"KV load failed","code":500}}\n\ndata: [DONE]\n\n');
    };
    await using pair = await startPairs({ decodes: [failing] });
    const body = await (await streamChat(pair.fleet)).text();
    assert.match(body, /hello/);
    assert.equal(
      (await scrape(pair.fleet)).value('vllm_router_pd_errors_total', { error_type: 'handover' }),
      1,
    );
  });

  it('in the middle of its stream has broken its answer', async () => {
    const breaking = (response: ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
      setTimeout(() => response.destroy(), 20);
    };
    await using pair = await startPairs({ decodes: [breaking] });
    assert.match(await (await streamChat(pair.fleet)).text(), /"error"/);
    assert.equal((await scrape(pair.fleet)).sum('vllm_router_pd_stream_errors_total'), 1);
  });
});

describe('a prompt that every worker answers with 500', () => {
  it('counts against the first worker that was to answer, whoever is asked for what', async () => {
    const fail = (response: ServerResponse): unknown => response.writeHead(500).end('{}');
    await using pair = await startPairs({
      decodes: [fail, fail, fail],
      router: { retry: { maxRetries: 3, initialBackoffMs: 1 } },
    });
    assert.equal((await chat(pair.fleet)).status, 500);
    const decision = await pair.fleet.decision();
    assert.deepEqual(
      decision.attempts.map(({ role, status }) => [role, status]),
      [
        ['prefill', 200],
        ['decode', 500],
        ['prefill', 200],
        ['decode', 500],
        [undefined, 500],
      ],
    );
    const metrics = await scrape(pair.fleet);
    assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 1);
  });
});

describe('a client that leaves', () => {
  for (const stage of ['prefill', 'decode'] as const)
    it(`while the ${stage} worker is at work ends both legs at once`, async () => {
      let closed = 0;
      const hang = (response: ServerResponse): void => {
        response.on('close', () => (closed += 1));
      };
      await using pair = await startPairs(stage === 'prefill' ? { prefills: [hang] } : { decodes: [hang] });
      const gone = new AbortController();
      const leaving = chat(pair.fleet, {}, { signal: gone.signal });
      const worker = stage === 'prefill' ? pair.prefills[0]! : pair.decodes[0]!;
      while (worker.received.length === 0) await new Promise((resolve) => setImmediate(resolve));
      gone.abort();
      await assert.rejects(leaving);
      const { status, outcome } = await pair.fleet.decision();
      assert.deepEqual([status, outcome], [499, 'client_abort']);
      while (closed === 0) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(pair.fleet.app.runtime.ledger.openLeases, 0);
    });
});

describe('what an attacker may try', () => {
  it('parameters in so many members that nobody can tell, and bodies that the router cannot read, are refused', async () => {
    await using pair = await startPairs({ pd: { clientParams: 'drop' } });
    const many = `{"model":"sim-model","messages":[],${'"kv_transfer_params":{"a":1},'.repeat(5000)}"x":1}`;
    const utf16 = Buffer.from('{"model":"sim-model","kv_transfer_params":{}}', 'utf16le');
    for (const body of [many, utf16]) {
      const response = await post(pair.fleet, '/v1/chat/completions', {}, { body });
      assert.equal(response.status, 400);
      await response.text();
    }
    assert.equal(pair.decodes[0]!.received.length, 0);
  });

  it('are refused as long as there are decode workers, also without one for prefill', async () => {
    await using pair = await startPairs({ prefills: [] });
    assert.equal((await chat(pair.fleet, { kv_transfer_params: { remote_host: 'evil' } })).status, 400);
    assert.equal((await chat(pair.fleet)).status, 200);
  });
});

describe('the bodies of both legs', () => {
  it('are given back when the answer begins, not when it ends', async () => {
    const held: number[] = [];
    const decode = (response: ServerResponse): void => {
      held.push(bodyBytes.held);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"id":"d","choices":[]}\n\n');
    };
    await using pair = await startPairs({ decodes: [decode] });
    const { bodyBytes, ledger } = pair.fleet.app.runtime;
    const controller = new AbortController();
    const { signal } = controller;
    const response = await streamChat(pair.fleet, { user: 'x'.repeat(100_000) }, { signal });
    assert.deepEqual([bodyBytes.held, ledger.openLeases], [0, 1]);
    // The client's bytes and those of the leg under way.
    assert.ok(held[0]! > 200_000 && held[0]! < 202_000, `${held[0]}`);
    controller.abort();
    await assert.rejects(response.text());
  });
});

describe('a request that has begun', () => {
  it('keeps the policies of both halves over all its attempts', async () => {
    const answers: (() => void)[] = [];
    await using pair = await startPairs({
      router: { policy: 'round_robin', retry: { initialBackoffMs: 1 } },
      decodes: [
        (response) => void answers.push(() => response.writeHead(503).end('{}')),
        (response, request) => void answers.push(() => answerDecode(response, request)),
      ],
    });
    const first = chat(pair.fleet);
    await eventually(() => answers.length === 1);
    await adminOf(pair.fleet)('PUT', '/admin/policy', '"least_work"');
    answers.shift()?.();
    await eventually(() => answers.length === 1);
    answers.shift()?.();
    assert.equal((await first).status, 200);
    const { policy, attempts } = await pair.fleet.decision();
    assert.equal(policy, 'round_robin');
    assert.deepEqual(
      attempts.map(({ reason }) => reason),
      Array(4).fill('next_in_turn'),
    );
  });
});

describe('a request whose legs would hold more than may be held', () => {
  const router = { maxInflightBodyBytes: 150_000 };
  const fields = { user: 'x'.repeat(100_000) };

  it('is served by one worker, which is sent the client’s own bytes', async () => {
    await using pair = await startPairs({ router });
    assert.equal((await chat(pair.fleet, fields)).status, 200);
    assert.deepEqual([pair.prefills[0]!.received.length, pair.decodes[0]!.received.length], [0, 1]);
    assert.deepEqual((await pair.fleet.decision()).pd, { split: false, reason: 'pair_failed' });
  });

  it('is refused where pairs alone may serve it', async () => {
    await using pair = await startPairs({ router, pd: { fallback: 'none' } });
    const response = await chat(pair.fleet, fields);
    const { error } = (await response.json()) as { error: { code: string } };
    assert.deepEqual([response.status, error.code], [503, 'inflight_bytes_exceeded']);
  });
});

describe('what the cache of a prompt was expected to hold', () => {
  it('is compared for the worker that computed it', async () => {
    await using pair = await startPairs();
    await (await chat(pair.fleet)).text();
    const metrics = await scrape(pair.fleet);
    const actual = (worker: string): number =>
      metrics.value('vllm_router_actual_cached_tokens_total', { worker });
    assert.deepEqual([actual(pair.prefills[0]!.url), actual(pair.decodes[0]!.url)], [16, 0]);
  });
});

describe('what goes on between two workers', () => {
  it('parameters are never sent twice: a connection that died may have brought them', async () => {
    let params = 0;
    let requests = 0;
    const dying = (response: ServerResponse, request: Parameters<typeof answerDecode>[1]): void => {
      // The first one leaves a connection behind that is kept alive; on that one the second one dies.
      if ((requests += 1) === 2) response.socket?.destroy();
      else answerDecode(response, request);
    };
    await using pair = await startPairs({
      prefills: [(response) => answerPrefill(response, `{"remote_engine_id":"${(params += 1)}"}`)],
      decodes: [dying],
    });
    for (let time = 0; time < 2; time++) assert.equal((await chat(pair.fleet)).status, 200);
    const sent = pair.decodes[0]!.received.flatMap(
      ({ body }) => /"remote_engine_id":"(\d+)"/.exec(body.toString())?.[1] ?? [],
    );
    assert.deepEqual(sent, ['1', '2', '3']);
  });

  it('a prefill worker whose kept-alive connection died is asked again at nobody’s expense', async () => {
    let requests = 0;
    const dying = (response: ServerResponse): void => {
      if ((requests += 1) === 2) response.socket?.destroy();
      else answerPrefill(response);
    };
    const router = { disableRetries: true };
    await using pair = await startPairs({ prefills: [dying], router, pd: { fallback: 'none' } });
    for (let time = 0; time < 2; time++) assert.equal((await chat(pair.fleet)).status, 200);
    const { attempts } = await pair.fleet.decision();
    assert.deepEqual(
      attempts.map(({ role, resent, status }) => [role, resent, status]),
      [
        ['prefill', true, 200],
        ['decode', undefined, 200],
      ],
    );
    const metrics = await scrape(pair.fleet);
    assert.equal(metrics.sum('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0);
    assert.equal(metrics.sum('vllm_router_pd_errors_total'), 0);
  });

  it('an answer to be stored is asked for on a fresh connection, since a kept-alive one may have died', async () => {
    const used = new WeakSet();
    const leaving = (response: ServerResponse, request: Parameters<typeof answerDecode>[1]): void => {
      const { socket } = response;
      if (!socket || used.has(socket)) return void socket?.destroy();
      used.add(socket);
      answerDecode(response, request);
    };
    await using pair = await startPairs({ decodes: [leaving] });
    const body = { model: 'sim-model', input: 'x', store: true };
    for (let time = 0; time < 3; time++)
      assert.equal((await post(pair.fleet, '/v1/responses', body)).status, 200);
    assert.equal(pair.decodes[0]!.received.length, 3);
  });

  it('a prompt whose answer is to be stored is put to another prefill worker where one fails: that stores nothing', async () => {
    for (const fail of [500, 0]) {
      const failing = (response: ServerResponse): unknown =>
        fail > 0 ? response.writeHead(fail).end('{}') : response.destroy();
      await using pair = await startPairs({
        prefills: [failing, (response) => answerPrefill(response)],
        pd: { fallback: 'none' },
      });
      const body = { model: 'sim-model', input: 'x', store: true };
      for (let time = 0; time < 2; time++)
        assert.equal((await post(pair.fleet, '/v1/responses', body)).status, 200);
      assert.ok(pair.prefills[0]!.received.length >= 1);
      assert.equal(pair.decodes[0]!.received.length, 2);
    }
  });

  it('an answer to be stored is asked for once, whoever fails', async () => {
    await using pair = await startPairs({ decodes: [(response) => response.writeHead(500).end('{}')] });
    const body = { model: 'sim-model', input: 'x', store: true };
    const response = await post(pair.fleet, '/v1/responses', body);
    assert.deepEqual([response.status, pair.decodes[0]!.received.length], [500, 1]);
    await response.text();
  });

  it('a prefill worker that drips is not waited for any longer than configured', async () => {
    const drip = (response: ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    };
    await using pair = await startPairs({ prefills: [drip], pd: { prefillTimeoutSecs: 0.2 } });
    assert.equal((await chat(pair.fleet)).status, 200);
    assert.equal((await pair.fleet.decision()).pd?.reason, 'pair_failed');
  });

  it('who finds the prefill worker full is let in when it has room again, where requests wait for workers', async () => {
    const slow = (response: ServerResponse): void => {
      setTimeout(() => answerPrefill(response), 20);
    };
    await using pair = await startPairs({
      prefills: [slow],
      pd: { maxPrefillsPerWorker: 2, fallback: 'none' },
      router: { engineWaitTimeoutSecs: 20 },
    });
    const answers = await Promise.all(Array.from({ length: 12 }, () => chat(pair.fleet)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array.from({ length: 12 }, () => 200),
    );
  });

  it('no lease is left where the client leaves before anything was sent', async () => {
    await using pair = await startPairs({ prefills: [() => undefined] });
    const gone = new AbortController();
    const leaving = chat(
      pair.fleet,
      { messages: [{ role: 'user', content: 'x'.repeat(3_000_000) }] },
      { signal: gone.signal },
    );
    setImmediate(() => gone.abort());
    await assert.rejects(leaving);
  });
});
