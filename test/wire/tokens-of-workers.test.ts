/** The token ids of prompts, as workers say them: by whichever route, within their time, and never at a request's cost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHAT, chat, post } from '../support/chat.ts';
import { startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const ALWAYS: FleetOptions = { router: { exactTokens: 'always' }, workers: [{}] };

/** Where the tokens of the latest request were from, and how many it had by the record before the worker said it. */
async function tokensOf(
  fleet: Fleet,
): Promise<readonly [source: string | undefined, prompt: number | undefined]> {
  const decision = await fleet.decision();
  return [decision.tokens_source, decision.prompt_tokens];
}

test('a chat has the tokens that its worker says, and the same chat those of the cache', async () => {
  await using fleet = await startFleet(ALWAYS);
  const [worker] = fleet.workers;
  await (await chat(fleet)).json();
  assert.equal((await tokensOf(fleet))[0], 'worker');
  await (await chat(fleet, { temperature: 0.5, stream: false, max_tokens: 2 })).json();
  assert.equal((await tokensOf(fleet))[0], 'cache');
  const rendered = worker?.seen.filter(({ url }) => url.endsWith('/render'));
  assert.equal(rendered?.length, 1);
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_prompt_tokens_source_total', { source: 'worker' }), 1);
  assert.equal(metrics.sum('vllm_router_prompt_tokens_source_total', { source: 'cache' }), 1);
  assert.equal(metrics.sum('vllm_router_token_cache_entries'), 1);
});

for (const [path, body] of [
  ['/v1/completions', { model: 'sim-model', prompt: 'Once upon a time', max_tokens: 2 }],
  ['/v1/messages', { model: 'sim-model', max_tokens: 2, system: 'Be brief.', messages: CHAT.messages }],
  ['/v1/responses', { model: 'sim-model', input: 'Once upon a time', max_output_tokens: 2 }],
] as const)
  test(`${path} has the tokens that its worker says`, async () => {
    await using fleet = await startFleet(ALWAYS);
    await (await post(fleet, path, body)).json();
    assert.equal((await tokensOf(fleet))[0], 'worker');
  });

for (const [path, body] of [
  ['/v1/completions', { model: 'sim-model', prompt: [268435553, 268435554], max_tokens: 2 }],
  [
    '/inference/v1/generate',
    { model: 'sim-model', token_ids: [268435553, 268435554], sampling_params: { max_tokens: 2 } },
  ],
] as const)
  test(`${path} with ids has those, and no worker is asked`, async () => {
    await using fleet = await startFleet(ALWAYS);
    await (await post(fleet, path, body)).json();
    assert.equal((await tokensOf(fleet))[0], 'request');
    assert.deepEqual(
      fleet.workers[0]?.seen
        .filter(({ method, url }) => method === 'POST' && url !== path)
        .map(({ url }) => url),
      [],
    );
  });

test('what cannot be known is estimated, and the metric says why', async () => {
  await using fleet = await startFleet(ALWAYS);
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } };
  await (await chat(fleet, { messages: [{ role: 'user', content: [image] }] })).json();
  assert.equal((await tokensOf(fleet))[0], 'estimate');
  await (
    await post(fleet, '/v1/completions', { model: 'sim-model', prompt: ['a', 'b'], max_tokens: 2 })
  ).json();
  const metrics = await scrape(fleet);
  for (const reason of ['multimodal', 'several_prompts'])
    assert.equal(metrics.sum('vllm_router_prompt_tokens_estimated_total', { reason }), 1, reason);
});

test('nobody is asked where nobody goes by tokens, nor where that is switched off', async () => {
  for (const exactTokens of ['auto', 'off'] as const) {
    await using fleet = await startFleet({ workers: [{}], router: { exactTokens } });
    await (await chat(fleet)).json();
    assert.deepEqual(await tokensOf(fleet).then(([source]) => source), undefined);
    assert.ok(fleet.workers[0]?.seen.every(({ url }) => !/render|tokenize/.test(url)));
  }
});

test('a worker that is slow to tokenise costs the request its time limit and no more', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: [{ kind: 'hang', path: '/v1/chat/completions/render' }] }],
    router: { exactTokens: 'always', tokenizeTimeoutMs: 50 },
  });
  const response = await chat(fleet);
  assert.equal(response.status, 200);
  await response.json();
  const decision = await fleet.decision();
  assert.equal(decision.tokens_source, 'estimate');
  assert.ok((decision.tokenize_ms ?? 0) >= 45, String(decision.tokenize_ms));
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_prompt_tokens_estimated_total', { reason: 'late' }), 1);
});

test('a worker that answers nonsense costs nothing', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: [{ kind: 'garbage', at: 'body', path: '/v1/chat/completions/render' }] }],
    router: { exactTokens: 'always' },
  });
  assert.equal((await chat(fleet)).status, 200);
  assert.equal((await tokensOf(fleet))[0], 'estimate');
  assert.equal(
    (await scrape(fleet)).sum('vllm_router_prompt_tokens_estimated_total', { reason: 'failed' }),
    1,
  );
});

test('an older worker is asked by /tokenize, with its own key and without what a client has', async () => {
  const answers: Readonly<Record<string, object>> = {
    '/tokenize': { count: 2, tokens: [5, 6] },
    '/v1/chat/completions': { id: 'x', choices: [], usage: { prompt_tokens: 2, completion_tokens: 1 } },
  };
  await using worker = await startScriptedWorker((response, { url }) => {
    const answer = answers[url];
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { detail: 'Not Found' }));
  });
  await using fleet = await startRouter([worker], {
    router: { exactTokens: 'always', apiKey: 'worker-key' },
  });
  const headers = { authorization: 'Bearer client-key', 'x-secret': '1' };
  await (await chat(fleet, { temperature: 0 }, { headers })).json();
  assert.deepEqual(await tokensOf(fleet), ['worker', 2]);
  const asked = worker.received.find(({ url }) => url === '/tokenize');
  assert.equal(asked?.headers.authorization, 'Bearer worker-key');
  assert.equal(asked.headers['x-secret'], undefined);
  assert.deepEqual(JSON.parse(asked.body.toString()), { model: 'sim-model', messages: CHAT.messages });
});

test('a client that leaves meanwhile is gone at once', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: [{ kind: 'hang', path: '/v1/chat/completions/render' }] }],
    router: { exactTokens: 'always', tokenizeTimeoutMs: 60_000 },
  });
  const leaves = AbortSignal.timeout(200);
  await assert.rejects(chat(fleet, {}, { signal: leaves }));
  const decision = await fleet.decision();
  assert.deepEqual([decision.outcome, decision.attempts.length], ['client_abort', 0]);
});
