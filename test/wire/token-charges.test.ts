/** What a request costs its tenant: what the worker's usage says wherever it stands, else an estimate that is marked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision } from '../../src/request/record/decision.ts';
import { CHAT, post } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter, startScriptedWorker, type Script } from '../support/scripted-worker.ts';

const BLUE: RequestInit = { headers: { authorization: 'Bearer sk-blue' } };
const ROUTER = {
  apiKeys: [{ name: 'blue', key: 'sk-blue', tokensPerMinute: 100_000 }],
  usageInjection: 'off',
  retry: { maxRetries: 3, initialBackoffMs: 1, maxBackoffMs: 1 },
} as const;
const MAX_TOKENS = 400;

interface Cost {
  readonly decision: Decision;
  /** What was taken from the tenant. */
  readonly spent: number;
  readonly text: string;
}

function spentOf(fleet: Fleet): number {
  return fleet.app.runtime.clients.tenants.named('blue')?.tokensUsed ?? 0;
}

/** Asks a worker that answers like this, and says what it cost. */
async function costOf(script: Script, path: string, fields: object = {}): Promise<Cost> {
  await using worker = await startScriptedWorker(script);
  await using fleet = await startRouter([worker], { router: ROUTER });
  const body = { ...CHAT, prompt: 'x', input: 'x', token_ids: [1, 2], max_tokens: MAX_TOKENS, ...fields };
  const response = await post(fleet, path, body, BLUE);
  const text = await response.text().catch(() => 'broken');
  const decision = await fleet.decision();
  await eventually(() => decision.charged_tokens !== undefined);
  assert.equal(decision.charged_tokens, spentOf(fleet), 'the record says what was spent');
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_tenant_tokens_total', { tenant: 'blue' }), spentOf(fleet));
  return { decision, spent: spentOf(fleet), text };
}

function json(body: string): Script {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(body.length) });
    response.end(body);
  };
}

function events(...list: readonly string[]): Script {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const event of list) response.write(event);
    response.end();
  };
}

const IDS = JSON.stringify(Array.from({ length: 3000 }, (_, index) => index));
const USAGE =
  '"usage":{"prompt_tokens":2100,"total_tokens":2500,"completion_tokens":400,"prompt_tokens_details":{"cached_tokens":2000,"created_cache_tokens":0}}';
const BEHIND = `"prompt_logprobs":[null,{"7":{"logprob":-1.5,"decoded_token":"}\\""}}],"prompt_token_ids":${IDS},"prompt_text":"${'p'.repeat(9000)}","kv_transfer_params":{"usage":{"prompt_tokens":1}}`;
const RESPONSE = `"id":"resp_1","tools":[{"parameters":{"properties":{"usage":{"input_tokens":1,"output_tokens":1}}}}],"output":[],"usage":{"input_tokens":2100,"input_tokens_details":{"cached_tokens":2000,"cache_write_tokens":0},"output_tokens":400,"total_tokens":2500},"user":"${'u'.repeat(3000)}","kv_transfer_params":null,"input_messages":[{"content":"${'m'.repeat(9000)}"}],"output_messages":[{"usage":{"input_tokens":1}}]`;

for (const [what, path, script] of [
  ['a chat', '/v1/chat/completions', json(`{"choices":[{"index":0}],${USAGE},${BEHIND}}`)],
  ['a completion', '/v1/completions', json(`{"choices":[{"token_ids":${IDS}}],${USAGE},${BEHIND}}`)],
  ['a response', '/v1/responses', json(`{${RESPONSE}}`)],
  ['usage first of all', '/v1/chat/completions', json(`{${USAGE},"choices":[],${BEHIND}}`)],
  [
    'a chat stream',
    '/v1/chat/completions',
    events(
      `data: {"choices":[{"delta":{"role":"assistant","content":""}}],"prompt_token_ids":${IDS}}\n\n`,
      'data: {"choices":[{"delta":{"content":"x"},"token_ids":[1]}]}\n\n',
      `data: {"choices":[],${USAGE},${BEHIND}}\n\n`,
      'data: [DONE]\n\n',
    ),
  ],
  [
    'a stream whose usage comes long before its end',
    '/v1/completions',
    events(
      `data: {"choices":[],${USAGE}}\n\n`,
      ...Array.from({ length: 200 }, () => 'data: {"choices":[{"text":"x"}]}\n\n'),
      'data: [DONE]\n\n',
    ),
  ],
  [
    'a response stream',
    '/v1/responses',
    events(
      'event: response.created\ndata: {"response":{"id":"resp_1","usage":null},"type":"response.created"}\n\n',
      `event: response.completed\ndata: {"response":{${RESPONSE}},"sequence_number":13,"type":"response.completed"}\n\n`,
    ),
  ],
  [
    'a message stream',
    '/v1/messages',
    events(
      'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":2100,"output_tokens":0}}}\n\n',
      'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"x"}}\n\n',
      'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"input_tokens":100,"output_tokens":400,"cache_creation_input_tokens":0,"cache_read_input_tokens":2000}}\n\n',
      'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
  ],
  [
    'a message',
    '/v1/messages',
    json(
      '{"type":"message","content":[{"type":"tool_use","input":{"usage":{"input_tokens":1,"output_tokens":1}}}],"usage":{"input_tokens":60,"output_tokens":400,"cache_creation_input_tokens":40,"cache_read_input_tokens":2000}}',
    ),
  ],
] as const) {
  test(`usage is found wherever it stands: ${what}`, async () => {
    const { spent, decision } = await costOf(script, path);
    assert.equal(spent, 2500);
    const { prompt_tokens: prompt, completion_tokens: completion, actual_cached_tokens: cached } = decision;
    assert.deepEqual([prompt, completion, cached], [2100, 400, 2000]);
    assert.equal(decision.tokens_estimated, undefined);
  });
}

const CHUNK = 'data: {"choices":[{"delta":{"content":"x"},"token_ids":null}]}\n\n';
const OPENING = 'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n';
const DELTA = 'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"x"}}\n\n';

/** Without usage: what the answer took, or all that was set aside; `prompt` stands for the estimated prompt. */
const ESTIMATED: Readonly<Record<string, readonly [path: string, script: Script, answer: number | 'all']>> = {
  'a stream costs its text events': [
    '/v1/chat/completions',
    events(OPENING, CHUNK, CHUNK, CHUNK, 'data: [DONE]\n\n'),
    3,
  ],
  'a stream with several tokens in an event costs those': [
    '/v1/chat/completions',
    events(OPENING, CHUNK.replace('null', '[1,2,3,4]'), CHUNK.replace('null', '[5,6,7]'), 'data: [DONE]\n\n'),
    7,
  ],
  'a message stream that breaks off costs what came': [
    '/v1/messages',
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(
        'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":null}}\n\n',
      );
      response.write(DELTA);
      response.write(DELTA, () => response.socket?.destroy());
    },
    2,
  ],
  'a message stream whose first event alone came costs the prompt that it told': [
    '/v1/messages',
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(
        'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":9,"cache_read_input_tokens":80,"output_tokens":1}}}\n\n',
      );
      response.write(DELTA, () => response.socket?.destroy());
    },
    1,
  ],
  'a stream that broke before its first event costs the prompt': [
    '/v1/chat/completions',
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': here I am\n\n', () => response.socket?.destroy());
    },
    0,
  ],
  'JSON that broke off costs what was set aside': [
    '/inference/v1/generate',
    (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"choices":[{"token_ids":[1,2', () => response.socket?.destroy());
    },
    'all',
  ],
  'a stream costs no more than was set aside': [
    '/v1/chat/completions',
    events(...Array.from({ length: MAX_TOKENS + 50 }, () => CHUNK), 'data: [DONE]\n\n'),
    'all',
  ],
  'JSON costs what was set aside': ['/v1/chat/completions', json('{"choices":[{"message":{}}]}'), 'all'],
  'JSON with a usage of null, too': ['/v1/responses', json('{"id":"resp_1","usage":null}'), 'all'],
  'a usage of the client’s is none': [
    '/v1/responses',
    json('{"tools":[{"usage":{"input_tokens":1,"output_tokens":1}}]}'),
    'all',
  ],
  'an answer that is neither costs what was set aside': [
    '/v1/completions',
    (response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('hello'),
    'all',
  ],
  'an answer of tokens costs those': [
    '/inference/v1/generate',
    json('{"choices":[{"token_ids":[1,2,3]},{"token_ids":[4,5]}],"prompt_logprobs":null}'),
    5,
  ],
  'a stream of tokens costs those': [
    '/inference/v1/generate',
    events(
      'data: {"choices":[{"token_ids":[1,2,3]}]}\n\n',
      'data: {"choices":[{"token_ids":[4]}]}\n\n',
      'data: [DONE]\n\n',
    ),
    4,
  ],
  'a text of the plain route costs what was set aside': ['/generate', json('{"text":["x"]}'), 'all'],
};

for (const [what, [path, script, answer]] of Object.entries(ESTIMATED)) {
  test(`without usage, ${what}`, async () => {
    const { spent, decision } = await costOf(script, path, { sampling_params: { max_tokens: MAX_TOKENS } });
    const { prompt_tokens: prompt = 0, request_bytes: bytes } = decision;
    assert.ok(prompt > 0);
    // What is set aside for the prompt is told from its size.
    assert.equal(spent, answer === 'all' ? Math.ceil(bytes / 4) + MAX_TOKENS : prompt + answer);
    assert.equal(decision.tokens_estimated, true);
  });
}

for (const [what, path, script] of [
  [
    'a worker’s refusal, whatever it says',
    '/v1/completions',
    ((response) =>
      response.writeHead(400, { 'content-type': 'application/json' }).end(`{"error":{},${USAGE}}`)) as Script,
  ],
  ['the router’s own answer', '/v1/completions', ((response) => response.socket?.destroy()) as Script],
  ['an answer of a route without tokens', '/tokenize', json('{"count":3,"tokens":[1,2,3]}')],
  ['a stream of a route that nobody knows', '/v9/sing', events(CHUNK, CHUNK, 'data: [DONE]\n\n')],
] as const) {
  test(`nothing is charged for ${what}`, async () => {
    assert.equal((await costOf(script, path)).spent, 0);
  });
}

test('a stored answer is paid for once, however often it is read', async () => {
  const body = '{"id":"resp_1","usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11}}';
  await using worker = await startScriptedWorker(json(body));
  await using fleet = await startRouter([worker], { router: ROUTER });
  assert.equal(
    await (await post(fleet, '/v1/responses', { model: 'sim-model', input: 'x' }, BLUE)).text(),
    body,
  );
  for (let i = 0; i < 2; i += 1)
    assert.equal(await (await fetch(`${fleet.url}/v1/responses/resp_1`, BLUE)).text(), body);
  await fleet.decision(({ http_method: method }) => method === 'GET');
  assert.equal(spentOf(fleet), 11);
});

test('of several attempts the last one counts', async () => {
  let attempts = 0;
  const script: Script = (response) => {
    attempts += 1;
    // The first one says what it took, too.
    response.writeHead(attempts === 1 ? 503 : 200, { 'content-type': 'application/json' });
    response.end(`{"usage":{"prompt_tokens":${attempts === 1 ? 999 : 5},"completion_tokens":6}}`);
  };
  await using first = await startScriptedWorker(script);
  await using second = await startScriptedWorker(script);
  await using fleet = await startRouter([first, second], { router: ROUTER });
  const response = await post(fleet, '/v1/chat/completions', CHAT, BLUE);
  assert.equal(response.status, 200);
  await response.text();
  assert.equal((await fleet.decision()).attempts.length, 2);
  await eventually(() => spentOf(fleet) === 11);
});

test('cached messages cost their whole prompt, and teach what is true', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { ...ROUTER, policy: 'cache_aware' },
  });
  const content = 'The quick brown fox jumps over the lazy dog. '.repeat(120);
  const body = { model: 'sim-model', messages: [{ role: 'user', content }], max_tokens: 2 };
  const { runtime } = fleet.app;
  let whole: number | undefined;
  let ratio: number | undefined;
  for (let i = 0; i < 5; i += 1) {
    const answer = await post(fleet, '/v1/messages', body, BLUE);
    const { usage } = (await answer.json()) as { usage: Record<string, number> };
    const sum =
      usage['input_tokens']! + usage['cache_read_input_tokens']! + usage['cache_creation_input_tokens']!;
    whole ??= sum;
    assert.equal(sum, whole);
    await eventually(() => spentOf(fleet) === (i + 1) * (sum + 2));
    const record = await fleet.decision(({ charged_tokens: charged }) => charged !== undefined);
    assert.equal(record.prompt_tokens, sum);
    if (i > 0) assert.ok(record.actual_cached_tokens! > sum / 2 && record.actual_cached_tokens! <= sum);
    const learnt = runtime.tokenRatio.charsPerToken('sim-model');
    if (ratio !== undefined) assert.ok(Math.abs(learnt - ratio) < 1, `${ratio} became ${learnt}`);
    ratio = learnt;
  }
});

for (const [what, usage] of Object.entries({
  'more cached than there is': '"prompt_tokens":130,"prompt_tokens_details":{"cached_tokens":1280}',
  'a prompt of nothing': '"prompt_tokens":0,"prompt_tokens_details":{"cached_tokens":0}',
  'a negative prompt': '"prompt_tokens":-130',
  'half a token': '"prompt_tokens":130.5',
  'a prompt beyond the total': '"prompt_tokens":1300,"total_tokens":100',
})) {
  test(`a prompt that contradicts itself teaches nothing: ${what}`, async () => {
    await using worker = await startScriptedWorker(json(`{"usage":{${usage},"completion_tokens":7}}`));
    await using fleet = await startRouter([worker], {
      router: { ...ROUTER, policy: 'cache_aware' },
    });
    const content = 'The quick brown fox jumps over the lazy dog. '.repeat(120);
    const body = { ...CHAT, messages: [{ role: 'user', content }], max_tokens: MAX_TOKENS };
    await (await post(fleet, '/v1/chat/completions', body, BLUE)).text();
    const decision = await fleet.decision();
    assert.equal(fleet.app.runtime.tokenRatio.charsPerToken('sim-model'), 4);
    assert.equal(decision.actual_cached_tokens, undefined);
    assert.equal(decision.tokens_estimated, true);
    const { prompt_tokens: prompt = 0 } = decision;
    assert.ok(prompt > 1000, 'estimated from its text');
    await eventually(() => spentOf(fleet) === prompt + 7);
    const metrics = await scrape(fleet);
    assert.equal(metrics.sum('vllm_router_cached_token_ratio_count'), 0);
  });
}

test('of an answer whose choices nobody counts, what all of them may take is set aside', async () => {
  const said = json('{"choices":[]}');
  const chat = '/v1/chat/completions';
  const one = (await costOf(said, chat)).spent;
  // The prompt is estimated from the body, which says a little more.
  const isAbout = (spent: number, tokens: number): boolean => Math.abs(spent - tokens) <= 3;
  for (const [n, times] of [
    ...([3, '3'] as const).map((given) => [given, 3] as const),
    ...([1, 0, -2, 'x', null] as const).map((given) => [given, 1] as const),
  ]) {
    const { spent } = await costOf(said, chat, { n });
    assert.ok(isAbout(spent, one + (times - 1) * MAX_TOKENS), `${JSON.stringify(n)}: ${spent}`);
  }
  const ids = await costOf(said, '/v1/completions', { prompt: [1, 2, 3] });
  const texts = await costOf(said, '/v1/completions', { prompt: ['a', 'b'], n: 2 });
  assert.ok(ids.spent < 2 * MAX_TOKENS && texts.spent >= 4 * MAX_TOKENS, `${ids.spent}, ${texts.spent}`);
});
