import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import type { SimOptions } from './options.ts';
import { startSimWorker, type SimWorker } from './server.ts';

const workers: SimWorker[] = [];

async function start(options: SimOptions = {}): Promise<SimWorker> {
  const worker = await startSimWorker({ timeScale: 0, ...options });
  workers.push(worker);
  return worker;
}

after(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
});

type Json = ReturnType<typeof JSON.parse>;

async function call(
  worker: SimWorker,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const payload = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(worker.url + path, { method, headers, ...payload });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}

/** Named events of a stream: type and data. */
function eventsOf(text: string): Json[] {
  return text
    .split('\n\n')
    .filter((event) => event !== '' && !event.includes('[DONE]'))
    .map((event) => JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? ''));
}

const MESSAGES = [{ role: 'user', content: 'Name three seas.' }];

describe('the surface of a worker', () => {
  it('lists its models and adapters, and loads and unloads adapters', async () => {
    const worker = await start({ models: ['big', 'alias'], loras: ['sql'] });
    const load = await call(worker, 'POST', '/v1/load_lora_adapter', {
      lora_name: 'law',
      lora_path: '/a/law',
    });
    assert.equal(load.text, "Success: LoRA adapter 'law' added successfully.");
    const again = await call(worker, 'POST', '/v1/load_lora_adapter', {
      lora_name: 'law',
      lora_path: '/a/law',
    });
    assert.equal(again.status, 400);
    const { json } = await call(worker, 'GET', '/v1/models');
    assert.deepEqual(
      json.data.map((card: Json) => [card.id, card.root, card.parent, card.max_model_len]),
      [
        ['big', 'big', null, 131072],
        ['alias', 'big', null, 131072],
        ['sql', '/adapters/sql', 'big', null],
        ['law', '/a/law', 'big', null],
      ],
    );
    assert.equal(
      (await call(worker, 'POST', '/v1/chat/completions', { model: 'law', messages: MESSAGES })).status,
      200,
    );
    await call(worker, 'POST', '/v1/unload_lora_adapter', { lora_name: 'law' });
    assert.equal(
      (await call(worker, 'POST', '/v1/chat/completions', { model: 'law', messages: MESSAGES })).status,
      404,
    );
    assert.equal((await call(worker, 'POST', '/v1/unload_lora_adapter', { lora_name: 'law' })).status, 404);
  });

  it('says that it is well, and what it is', async () => {
    const worker = await start();
    for (const [method, path] of [
      ['GET', '/health'],
      ['GET', '/ping'],
      ['POST', '/ping'],
    ] as const) {
      const answer = await call(worker, method, path);
      assert.deepEqual([answer.status, answer.text], [200, '']);
    }
    assert.match((await call(worker, 'GET', '/version')).json.version, /^\d+\.\d+/);
    assert.deepEqual((await call(worker, 'GET', '/load')).json, { server_load: 0 });
    assert.equal((await call(worker, 'GET', '/server_info')).json.vllm_config.block_size, 16);
  });

  it('answers unknown routes and methods in the usual shape', async () => {
    const worker = await start();
    assert.equal((await call(worker, 'GET', '/nope')).json.error.code, 404);
    assert.equal((await call(worker, 'GET', '/v1/chat/completions')).status, 405);
    assert.equal((await call(worker, 'DELETE', '/v1/responses/%E0%A4%A')).status, 404);
    assert.equal((await call(worker, 'GET', '/v1/responses/%E0%A4%A')).status, 404);
  });

  it('demands its key exactly where vLLM does', async () => {
    const worker = await start({ apiKeys: ['k1', 'k2'] });
    const refused = await call(worker, 'GET', '/v1/models');
    assert.deepEqual([refused.status, refused.json], [401, { error: 'Unauthorized' }]);
    assert.equal(
      (await call(worker, 'GET', '/v1/models', undefined, { authorization: 'Bearer no' })).status,
      401,
    );
    assert.equal(
      (await call(worker, 'GET', '/v1/models', undefined, { authorization: 'bearer k2' })).status,
      200,
    );
    assert.equal((await call(worker, 'GET', '/health')).status, 200);
    assert.equal((await call(worker, 'POST', '/tokenize', { prompt: 'x' })).status, 200);
  });

  it('takes its ids from X-Request-Id or the body, and echoes the header when told to', async () => {
    const worker = await start({ requestIdHeaders: true });
    const body = { messages: MESSAGES, max_tokens: 1 };
    const named = await call(worker, 'POST', '/v1/chat/completions', body, { 'x-request-id': 'abc"\\' });
    assert.equal(named.json.id, 'chatcmpl-abc"\\');
    assert.equal(named.headers.get('x-request-id'), 'abc"\\');
    const inBody = await call(worker, 'POST', '/v1/chat/completions', { ...body, request_id: 'r1' });
    assert.equal(inBody.json.id, 'chatcmpl-r1');
    const { json } = await call(worker, 'POST', '/v1/completions', { prompt: 'x', max_tokens: 1 });
    assert.match(json.id, /^cmpl-[0-9a-f]{32}$/);
  });

  it('pins requests to a data-parallel rank', async () => {
    const worker = await start({ dataParallelSize: 2 });
    const body = { messages: MESSAGES, max_tokens: 1 };
    const pinned = await call(worker, 'POST', '/v1/chat/completions', body, { 'X-data-parallel-rank': '1' });
    assert.equal(pinned.status, 200);
    assert.equal(worker.engines[1]?.stats.promptTokens, pinned.json.usage.prompt_tokens);
    assert.equal(worker.engines[0]?.stats.promptTokens, 0);
    assert.equal(
      (await call(worker, 'POST', '/v1/chat/completions', body, { 'X-data-parallel-rank': '2' })).status,
      500,
    );
    assert.equal(
      (await call(worker, 'POST', '/v1/chat/completions', body, { 'X-data-parallel-rank': 'x' })).status,
      200,
    );
  });

  it('refuses a body that is too large', async () => {
    const worker = await start({ maxBodyBytes: 100 });
    assert.equal((await call(worker, 'POST', '/tokenize', { prompt: 'x'.repeat(200) })).status, 413);
  });
});

describe('completions', () => {
  it('answers every prompt, n times each, in order', async () => {
    const worker = await start();
    const { json } = await call(worker, 'POST', '/v1/completions', {
      prompt: ['one', 'two'],
      n: 2,
      max_tokens: 2,
      echo: true,
    });
    assert.deepEqual(
      json.choices.map((choice: Json) => [choice.index, choice.text.slice(0, 3), choice.finish_reason]),
      [
        [0, 'one', 'length'],
        [1, 'one', 'length'],
        [2, 'two', 'length'],
        [3, 'two', 'length'],
      ],
    );
    assert.deepEqual([json.usage.prompt_tokens, json.usage.completion_tokens], [2, 8]);
  });

  it('stops at 16 tokens unless told otherwise, and streams', async () => {
    const worker = await start();
    const whole = await call(worker, 'POST', '/v1/completions', { prompt: 'the sea', ignore_eos: true });
    assert.equal(whole.json.usage.completion_tokens, 16);
    const streamed = await call(worker, 'POST', '/v1/completions', {
      prompt: 'the sea',
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    });
    const events = eventsOf(streamed.text);
    assert.equal(events.map((event) => event.choices[0]?.text ?? '').join(''), whole.json.choices[0].text);
    assert.deepEqual(
      events.map((event) => event.usage.completion_tokens),
      [...Array.from({ length: 16 }, (_, i) => i + 1), 16],
    );
  });

  it('takes token ids', async () => {
    const worker = await start();
    const { json: tokens } = await call(worker, 'POST', '/tokenize', { prompt: 'x'.repeat(200) });
    await call(worker, 'POST', '/v1/completions', { prompt: 'x'.repeat(200), max_tokens: 1 });
    const { json } = await call(worker, 'POST', '/v1/completions', { prompt: tokens.tokens, max_tokens: 1 });
    assert.equal(json.usage.prompt_tokens_details.cached_tokens, 48);
    assert.equal((await call(worker, 'POST', '/v1/completions', { prompt: [1.5] })).status, 400);
    assert.equal((await call(worker, 'POST', '/v1/completions', {})).status, 400);
  });
});

describe('tokens in and out', () => {
  it('round-trips text through /tokenize and /detokenize', async () => {
    const worker = await start();
    const prompt = 'Grüße, 你好 👩‍🚀 and the rest';
    const { json } = await call(worker, 'POST', '/tokenize', { prompt, return_token_strs: true });
    assert.equal(json.count, json.tokens.length);
    assert.equal(json.token_strs.join(''), prompt);
    assert.equal((await call(worker, 'POST', '/detokenize', { tokens: json.tokens })).json.prompt, prompt);
  });

  it('renders a chat to the very tokens it runs on', async () => {
    const worker = await start();
    const { json: rendered } = await call(worker, 'POST', '/v1/chat/completions/render', {
      messages: MESSAGES,
    });
    const { json: tokenized } = await call(worker, 'POST', '/tokenize', { messages: MESSAGES });
    const { json: chat } = await call(worker, 'POST', '/v1/chat/completions', {
      messages: MESSAGES,
      return_token_ids: true,
    });
    assert.deepEqual(rendered.token_ids, chat.prompt_token_ids);
    assert.deepEqual(tokenized.tokens, chat.prompt_token_ids);
    const { json: list } = await call(worker, 'POST', '/v1/completions/render', { prompt: ['a', 'b'] });
    assert.equal(list.length, 2);
  });

  it('generates tokens from tokens', async () => {
    const worker = await start();
    const body = { token_ids: [1, 2, 3], sampling_params: { max_tokens: 4, ignore_eos: true } };
    const { json } = await call(worker, 'POST', '/inference/v1/generate', body);
    assert.equal(json.choices[0].token_ids.length, 4);
    const streamed = await call(worker, 'POST', '/inference/v1/generate', { ...body, stream: true });
    const ids = eventsOf(streamed.text).flatMap((event) => event.choices[0].token_ids);
    assert.deepEqual(ids, json.choices[0].token_ids);
  });

  it('answers /generate in both shapes', async () => {
    const worker = await start();
    const demo = await call(worker, 'POST', '/generate', {
      prompt: 'hello',
      max_tokens: 2,
      ignore_eos: true,
    });
    assert.equal(demo.json.text[0].length, 'hello'.length + 8);
    const other = { text: 'hello', sampling_params: { max_new_tokens: 2, ignore_eos: true } };
    const { json } = await call(worker, 'POST', '/generate', other);
    assert.deepEqual([json.text.length, json.meta_info.completion_tokens], [8, 2]);
    const streamed = await call(worker, 'POST', '/generate', { ...other, stream: true });
    assert.equal(eventsOf(streamed.text).at(-1).text, json.text);
  });
});

describe('responses', () => {
  it('are made, read back, continued, and unknown elsewhere', async () => {
    const worker = await start();
    const { json } = await call(worker, 'POST', '/v1/responses', {
      input: 'hello',
      instructions: 'be brief',
    });
    assert.equal(json.status, 'completed');
    assert.equal(json.output[0].content[0].type, 'output_text');
    assert.deepEqual((await call(worker, 'GET', `/v1/responses/${json.id}`)).json, json);
    const items = await call(worker, 'GET', `/v1/responses/${json.id}/input_items`);
    assert.equal(items.json.data[0].content[0].text, 'hello');
    const next = await call(worker, 'POST', '/v1/responses', {
      input: 'and?',
      previous_response_id: json.id,
    });
    assert.ok(next.json.usage.input_tokens > json.usage.total_tokens);
    assert.equal((await call(worker, 'POST', `/v1/responses/${json.id}/cancel`)).status, 400);
    const other = await start();
    assert.equal((await call(other, 'GET', `/v1/responses/${json.id}`)).status, 404);
    assert.equal(
      (await call(other, 'POST', '/v1/responses', { input: 'x', previous_response_id: json.id })).status,
      404,
    );
  });

  it('stream numbered events that add up to the text', async () => {
    const worker = await start();
    const { text } = await call(worker, 'POST', '/v1/responses', {
      input: 'hello',
      stream: true,
      max_output_tokens: 5,
    });
    const events = eventsOf(text);
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, i) => i),
    );
    assert.deepEqual(
      events.map((event) => event.type).filter((type, i, all) => type !== all[i - 1]),
      [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.incomplete',
      ],
    );
    const said = events
      .map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''))
      .join('');
    assert.equal(events.at(-1).response.output[0].content[0].text, said);
    assert.ok(!text.includes('[DONE]'));
  });

  it('run in the background until they are cancelled', async () => {
    const worker = await start({ timeScale: 1 });
    const body = { input: 'hello', background: true, max_output_tokens: 10_000, ignore_eos: true };
    const { json } = await call(worker, 'POST', '/v1/responses', body);
    assert.equal(json.status, 'queued');
    assert.equal((await call(worker, 'GET', `/v1/responses/${json.id}`)).json.status, 'in_progress');
    const cancelled = await call(worker, 'POST', `/v1/responses/${json.id}/cancel`);
    assert.equal(cancelled.json.status, 'cancelled');
    assert.equal(worker.model.running + worker.model.waiting, 0);
  });

  it('call the function they are told to call', async () => {
    const worker = await start();
    const body = {
      input: 'x',
      tools: [{ type: 'function', name: 'f', parameters: {} }],
      tool_choice: 'required',
    };
    const { json } = await call(worker, 'POST', '/v1/responses', body);
    assert.deepEqual(
      [json.output[0].type, json.output[0].name, json.output[0].arguments],
      ['function_call', 'f', '{}'],
    );
    const events = eventsOf((await call(worker, 'POST', '/v1/responses', { ...body, stream: true })).text);
    assert.ok(events.some((event) => event.type === 'response.function_call_arguments.done'));
  });
});

describe('messages', () => {
  const body = { model: 'sim-model', max_tokens: 6, messages: MESSAGES };

  it('answer and stream in the shapes of that API', async () => {
    const worker = await start();
    const { json } = await call(worker, 'POST', '/v1/messages', body);
    assert.deepEqual([json.type, json.role, json.stop_reason], ['message', 'assistant', 'max_tokens']);
    const { text } = await call(worker, 'POST', '/v1/messages', { ...body, stream: true });
    const events = eventsOf(text);
    assert.equal(events[0].type, 'message_start');
    assert.equal(events.at(-1).type, 'message_stop');
    assert.equal(events.map((event) => event.delta?.text ?? '').join(''), json.content[0].text);
    assert.equal(events.at(-2).usage.output_tokens, 6);
    const { json: count } = await call(worker, 'POST', '/v1/messages/count_tokens', body);
    assert.equal(count.input_tokens, json.usage.input_tokens);
  });

  it('leave what was cached out of the input', async () => {
    const worker = await start();
    const long = { ...body, messages: [{ role: 'user', content: 'a long story. '.repeat(100) }] };
    const { json: first } = await call(worker, 'POST', '/v1/messages', long);
    const { json: second } = await call(worker, 'POST', '/v1/messages', long);
    const { input_tokens: input, cache_read_input_tokens: cached } = second.usage;
    assert.equal(first.usage.cache_read_input_tokens, 0);
    assert.ok(cached > 0);
    assert.equal(Number(input) + Number(cached), first.usage.input_tokens);
  });

  it('use tools, stop at sequences, and err in their own shape', async () => {
    const worker = await start({ reply: 'echo' });
    const tools = [{ name: 'f', input_schema: { type: 'object', properties: { a: { type: 'number' } } } }];
    const used = await call(worker, 'POST', '/v1/messages', {
      ...body,
      max_tokens: 50,
      tools,
      tool_choice: { type: 'any' },
    });
    assert.deepEqual([used.json.stop_reason, used.json.content[0].input], ['tool_use', { a: 7 }]);
    const stopped = await call(worker, 'POST', '/v1/messages', {
      ...body,
      max_tokens: 50,
      stop_sequences: [' three'],
    });
    assert.deepEqual([stopped.json.stop_reason, stopped.json.stop_sequence], ['stop_sequence', ' three']);
    assert.equal(stopped.json.content[0].text, 'Name');
    const wrong = await call(worker, 'POST', '/v1/messages', { messages: MESSAGES });
    assert.deepEqual(
      [wrong.status, wrong.json.type, wrong.json.error.type],
      [400, 'error', 'invalid_request_error'],
    );
  });
});

describe('pooling', () => {
  it('embeds, near what is alike, as floats or base64', async () => {
    const worker = await start({ embeddingDimensions: 64 });
    const input = ['the red fox runs', 'the red fox sleeps', 'quarterly tax report'];
    const { json } = await call(worker, 'POST', '/v1/embeddings', { input });
    const [a, b, c] = json.data.map((entry: Json) => entry.embedding as number[]) as [
      number[],
      number[],
      number[],
    ];
    const dot = (x: number[], y: number[]): number =>
      x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0);
    assert.equal(a.length, 64);
    assert.ok(Math.abs(dot(a, a) - 1) < 1e-5);
    assert.ok(dot(a, b) > dot(a, c) + 0.2);
    const coded = await call(worker, 'POST', '/v1/embeddings', {
      input: input[0],
      encoding_format: 'base64',
    });
    const bytes = Buffer.from(coded.json.data[0].embedding, 'base64');
    assert.deepEqual(
      Array.from({ length: 64 }, (_, i) => bytes.readFloatLE(i * 4)),
      a,
    );
    assert.equal(
      (await call(worker, 'POST', '/v1/embeddings', { input: 'x', dimensions: 8 })).json.data[0].embedding
        .length,
      8,
    );
    assert.ok(json.usage.prompt_tokens > 0);
    assert.equal(worker.model.stats.promptTokens > 0, true);
  });

  it('scores, ranks, classifies and pools', async () => {
    const worker = await start();
    const documents = ['tax report', 'the red fox', 'a red fox runs'];
    const ranked = await call(worker, 'POST', '/v1/rerank', { query: 'red fox runs', documents, top_n: 2 });
    assert.deepEqual(
      ranked.json.results.map((result: Json) => result.index),
      [2, 1],
    );
    const scored = await call(worker, 'POST', '/score', { text_1: 'red fox', text_2: documents });
    assert.ok(scored.json.data[1].score > scored.json.data[0].score);
    const classes = await call(worker, 'POST', '/classify', { input: documents });
    for (const entry of classes.json.data) assert.equal(entry.probs.length, entry.num_classes);
    const pooled = await call(worker, 'POST', '/pooling', { messages: MESSAGES });
    assert.equal(pooled.json.data[0].object, 'pooling');
    const cohere = await call(worker, 'POST', '/v2/embed', { texts: documents });
    assert.equal(cohere.json.embeddings.float.length, 3);
    assert.equal(
      (await call(worker, 'POST', '/score', { text_1: ['a', 'b'], text_2: documents })).status,
      400,
    );
    assert.equal((await call(worker, 'POST', '/v1/embeddings', { input: [] })).status, 400);
  });
});

describe('audio', () => {
  it('transcribes an upload, in one piece or in events', async () => {
    const worker = await start();
    const upload = (extra: Record<string, string>): FormData => {
      const form = new FormData();
      form.set('file', new Blob([randomBytes(100_000)]), 'speech.wav');
      form.set('model', 'sim-model');
      for (const [name, value] of Object.entries(extra)) form.set(name, value);
      return form;
    };
    const path = `${worker.url}/v1/audio/transcriptions`;
    const whole: Json = await (await fetch(path, { method: 'POST', body: upload({}) })).json();
    assert.equal(whole.usage.seconds, 4);
    assert.ok(whole.text.length > 0);
    const streamed = await (await fetch(path, { method: 'POST', body: upload({ stream: 'true' }) })).text();
    assert.equal(eventsOf(streamed)[0].object, 'transcription.chunk');
    assert.equal((await fetch(path, { method: 'POST', body: upload({ model: 'no' }) })).status, 404);
    assert.equal((await call(worker, 'POST', '/v1/audio/transcriptions', {})).status, 400);
  });
});

describe('operator routes', () => {
  it('sleeps and wakes up', async () => {
    const worker = await start();
    assert.equal((await call(worker, 'POST', '/sleep?level=2')).status, 200);
    assert.deepEqual((await call(worker, 'GET', '/is_sleeping')).json, { is_sleeping: true });
    const waiting = worker.next('request', (seen) => seen.url === '/v1/completions');
    const answer = call(worker, 'POST', '/v1/completions', { prompt: 'x' });
    await waiting;
    assert.equal(worker.counts.finished, 2);
    await call(worker, 'POST', '/wake_up');
    assert.equal((await answer).status, 200);
    assert.equal((await call(worker, 'POST', '/sleep?level=9')).status, 400);
  });

  it('forgets its prefix cache', async () => {
    const worker = await start();
    const body = { prompt: 'x'.repeat(400), max_tokens: 1 };
    await call(worker, 'POST', '/v1/completions', body);
    await call(worker, 'POST', '/reset_prefix_cache');
    const { json } = await call(worker, 'POST', '/v1/completions', body);
    assert.equal(json.usage.prompt_tokens_details.cached_tokens, 0);
  });

  it('has them in development mode only', async () => {
    const worker = await start({ devMode: false });
    assert.equal((await call(worker, 'POST', '/reset_prefix_cache')).status, 404);
    assert.equal((await call(worker, 'GET', '/server_info')).status, 404);
  });
});

describe('metrics', () => {
  it("has vLLM's names and labels, one series per engine", async () => {
    const worker = await start({ dataParallelSize: 2, models: ['m"x'] });
    const headers = { 'X-data-parallel-rank': '1' };
    await call(
      worker,
      'POST',
      '/v1/completions',
      { prompt: 'x'.repeat(400), max_tokens: 3, ignore_eos: true },
      headers,
    );
    await call(
      worker,
      'POST',
      '/v1/completions',
      { prompt: 'x'.repeat(400), max_tokens: 3, ignore_eos: true },
      headers,
    );
    const { text } = await call(worker, 'GET', '/metrics');
    const samples = new Map(
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    );
    const at = (name: string, engine: number, more = ''): number | undefined =>
      samples.get(`vllm:${name}{${more}engine="${engine}",model_name="m\\"x"}`);
    assert.equal(at('num_requests_running', 0), 0);
    assert.equal(at('prompt_tokens_total', 0), 0);
    assert.equal(at('prompt_tokens_total', 1), 200);
    assert.equal(at('generation_tokens_total', 1), 6);
    assert.equal(at('prefix_cache_hits_total', 1), 96);
    assert.equal(at('request_success_total', 1, 'finished_reason="length",'), 2);
    assert.equal(at('time_to_first_token_seconds_count', 1), 2);
    assert.equal(at('time_to_first_token_seconds_bucket', 1, 'le="+Inf",'), 2);
    assert.equal(at('engine_sleep_state', 0, 'sleep_state="awake",'), 1);
    for (const [series, value] of samples) assert.ok(Number.isFinite(value), series);
    const helped = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]));
    assert.equal(helped.size, [...text.matchAll(/^# TYPE (\S+)/gm)].length, 'a family is announced twice');
  });
});
