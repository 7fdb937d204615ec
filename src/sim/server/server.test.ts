import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
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

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Whatever shape: a wrong path fails the assertion. */
  readonly json: ReturnType<typeof JSON.parse>;
}

async function post(
  worker: SimWorker,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return read(await fetch(worker.url + path, { method: 'POST', body: JSON.stringify(body), headers }));
}

async function get(worker: SimWorker, path: string): Promise<Answer> {
  return read(await fetch(worker.url + path));
}

async function read(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}

/** The data of each event; `[DONE]` as it is. */
function eventsOf(text: string): ReturnType<typeof JSON.parse>[] {
  return text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      const data = /^data: (.*)$/m.exec(event)?.[1] ?? '';
      return data === '[DONE]' ? data : JSON.parse(data);
    });
}

const HELLO = {
  model: 'sim-model',
  messages: [{ role: 'user', content: 'Tell me about the sea, at some length.' }],
};

describe('chat completions', () => {
  it('answers with usage, cached tokens of the second time included, the same each time', async () => {
    const worker = await start();
    const messages = [{ role: 'user', content: 'x'.repeat(400) }];
    const first = await post(worker, '/v1/chat/completions', { messages, max_tokens: 5 });
    const second = await post(worker, '/v1/chat/completions', { messages, max_tokens: 5 });
    assert.equal(first.status, 200);
    assert.equal(first.json.object, 'chat.completion');
    assert.equal(first.json.choices[0].finish_reason, 'length');
    assert.deepEqual(first.json.usage, {
      prompt_tokens: 103,
      total_tokens: 108,
      completion_tokens: 5,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    assert.equal(second.json.usage.prompt_tokens_details.cached_tokens, 96);
    assert.equal(second.json.choices[0].message.content, first.json.choices[0].message.content);
    assert.notEqual(second.json.id, first.json.id);
  });

  it('streams what it would have said in one piece, one event per token, then usage and [DONE]', async () => {
    const worker = await start();
    const whole = await post(worker, '/v1/chat/completions', HELLO);
    const streamed = await post(worker, '/v1/chat/completions', {
      ...HELLO,
      stream: true,
      stream_options: { include_usage: true },
    });
    assert.equal(streamed.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    const events = eventsOf(streamed.text);
    assert.equal(events.at(-1), '[DONE]');
    const usage = events.at(-2);
    assert.deepEqual(usage.choices, []);
    assert.equal(usage.usage.completion_tokens, whole.json.usage.completion_tokens);
    assert.equal(events[0].choices[0].delta.role, 'assistant');
    const deltas = events.slice(1, -2);
    assert.equal(deltas.length, whole.json.usage.completion_tokens);
    assert.equal(deltas.at(-1).choices[0].finish_reason, 'stop');
    const text = deltas.map((event) => event.choices[0].delta.content).join('');
    assert.equal(text, whole.json.choices[0].message.content);
  });

  it('has the follow-up of a conversation cached, the generated part included', async () => {
    const worker = await start();
    const first = await post(worker, '/v1/chat/completions', { ...HELLO, max_tokens: 64, ignore_eos: true });
    const said = first.json.choices[0].message.content as string;
    const messages = [
      ...HELLO.messages,
      { role: 'assistant', content: said },
      { role: 'user', content: 'And now?' },
    ];
    const next = await post(worker, '/v1/chat/completions', { messages });
    const before = first.json.usage.total_tokens as number;
    assert.ok(next.json.usage.prompt_tokens_details.cached_tokens > before - 32);
  });

  it('keeps cache salts apart', async () => {
    const worker = await start();
    const body = { messages: [{ role: 'user', content: 'x'.repeat(400) }], max_tokens: 1 };
    await post(worker, '/v1/chat/completions', { ...body, cache_salt: 'a' });
    const other = await post(worker, '/v1/chat/completions', { ...body, cache_salt: 'b' });
    assert.equal(other.json.usage.prompt_tokens_details.cached_tokens, 0);
  });

  it('gives n different answers and counts the prompt once', async () => {
    const worker = await start();
    const { json } = await post(worker, '/v1/chat/completions', { ...HELLO, n: 3, max_tokens: 4 });
    const texts = json.choices.map((choice: { message: { content: string } }) => choice.message.content);
    assert.equal(new Set(texts).size, 3);
    assert.equal(json.usage.completion_tokens, 12);
    const one = await post(worker, '/v1/chat/completions', { ...HELLO, max_tokens: 4 });
    assert.equal(json.usage.prompt_tokens, one.json.usage.prompt_tokens);
  });

  it('stops at a stop string and leaves it out', async () => {
    const worker = await start({ reply: 'echo' });
    const messages = [{ role: 'user', content: 'one two three four' }];
    const { json } = await post(worker, '/v1/chat/completions', { messages, stop: [' thr', 'zzz'] });
    assert.equal(json.choices[0].message.content, 'one two');
    assert.equal(json.choices[0].finish_reason, 'stop');
    assert.equal(json.choices[0].stop_reason, ' thr');
  });

  it('echoes any text unharmed, streamed or not', async () => {
    const worker = await start({ reply: 'echo' });
    const content = 'Grüße, "quoted" \\ \n 你好 👩‍🚀 end';
    const messages = [{ role: 'user', content }];
    const whole = await post(worker, '/v1/chat/completions', { messages });
    assert.equal(whole.json.choices[0].message.content, content);
    const streamed = await post(worker, '/v1/chat/completions', { messages, stream: true });
    const deltas = eventsOf(streamed.text).slice(1, -1);
    assert.equal(deltas.map((event) => event.choices[0].delta.content).join(''), content);
  });

  it('calls the tool it is told to call', async () => {
    const worker = await start();
    const parameters = {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
    };
    const body = {
      ...HELLO,
      tools: [{ type: 'function', function: { name: 'weather', parameters } }],
      tool_choice: 'required',
    };
    const { json } = await post(worker, '/v1/chat/completions', body);
    const [call] = json.choices[0].message.tool_calls;
    assert.equal(json.choices[0].finish_reason, 'tool_calls');
    assert.equal(call.function.name, 'weather');
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'fox', days: 7 });
    const streamed = await post(worker, '/v1/chat/completions', { ...body, stream: true });
    const calls = eventsOf(streamed.text)
      .slice(1, -1)
      .map((event) => event.choices[0].delta.tool_calls[0]);
    assert.equal(calls[0].function.name, 'weather');
    assert.equal(calls.map((each) => each.function.arguments).join(''), call.function.arguments);
    const unknown = await post(worker, '/v1/chat/completions', {
      ...body,
      tool_choice: { type: 'function', function: { name: 'nope' } },
    });
    assert.equal(unknown.status, 400);
  });

  it('gives token ids when asked', async () => {
    const worker = await start();
    const { json } = await post(worker, '/v1/chat/completions', {
      ...HELLO,
      max_tokens: 3,
      return_token_ids: true,
    });
    assert.equal(json.prompt_token_ids.length, json.usage.prompt_tokens);
    assert.equal(json.choices[0].token_ids.length, 3);
  });

  for (const [what, body, status, message] of [
    ['an unknown model', { ...HELLO, model: 'gpt-9' }, 404, 'The model `gpt-9` does not exist.'],
    ['no messages', { model: 'sim-model' }, 400, 'messages'],
    ['a prompt that does not fit', { ...HELLO, max_tokens: 10_000_000 }, 400, 'maximum context length'],
    ['a wrong type', { ...HELLO, stream: 'maybe' }, 400, 'stream'],
    ['a priority', { ...HELLO, priority: 1 }, 400, 'Priority scheduling'],
    ['a role-less message', { messages: [{ content: 'x' }] }, 400, 'messages[0]'],
  ] as const) {
    it(`refuses ${what} in vLLM's shape`, async () => {
      const worker = await start();
      const answer = await post(worker, '/v1/chat/completions', body);
      assert.equal(answer.status, status);
      assert.equal(answer.json.error.code, status);
      assert.equal(answer.json.error.type, status === 404 ? 'NotFoundError' : 'BadRequestError');
      assert.ok(String(answer.json.error.message).includes(message), answer.text);
    });
  }

  it('refuses bad JSON', async () => {
    const worker = await start();
    const answer = await read(
      await fetch(`${worker.url}/v1/chat/completions`, { method: 'POST', body: '{"a":' }),
    );
    assert.equal(answer.status, 400);
  });
});

describe('connections', () => {
  it('aborts the work of a client that leaves in mid-stream', async () => {
    const worker = await start({ timeScale: 1 });
    const aborted = worker.next('aborted');
    const sent = request(`${worker.url}/v1/chat/completions`, { method: 'POST' });
    sent.on('error', () => undefined);
    sent.end(JSON.stringify({ ...HELLO, stream: true, max_tokens: 100_000, ignore_eos: true }));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    await once(response, 'data');
    assert.equal(worker.model.running, 1);
    sent.destroy();
    await aborted;
    assert.equal(worker.model.running, 0);
    assert.equal(worker.model.cache.used, 0);
    assert.equal(worker.model.stats.finished.abort, 1);
    assert.equal((await get(worker, '/load')).json.server_load, 0);
  });

  it('aborts the work of a client that leaves before the answer', async () => {
    const worker = await start({ timeScale: 1 });
    const aborted = worker.next('aborted');
    const seen = worker.next('request');
    const sent = request(`${worker.url}/v1/chat/completions`, { method: 'POST' });
    sent.on('error', () => undefined);
    sent.end(JSON.stringify({ ...HELLO, max_tokens: 100_000, ignore_eos: true }));
    await seen;
    sent.destroy();
    await aborted;
    assert.equal(worker.model.running + worker.model.waiting, 0);
  });

  it('holds back tokens while the client does not read, and tells them all later', async () => {
    const worker = await start();
    const socket = connect(worker.port, '127.0.0.1');
    const body = JSON.stringify({ ...HELLO, stream: true, max_tokens: 60_000, ignore_eos: true });
    const requested = worker.next('request');
    socket.pause();
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${String(body.length)}\r\n\r\n${body}`,
    );
    await requested;
    while (worker.model.stats.finished.length === 0) await new Promise((resolve) => setImmediate(resolve));
    let text = '';
    socket.on('data', (part: Buffer) => (text += part.toString()));
    socket.resume();
    await once(socket, 'close');
    const words = text.match(/"content":"[^"]+"/g) ?? [];
    assert.ok(words.length < 60_000, 'tokens were told one by one');
    const length = words.reduce((sum, word) => sum + word.length - '"content":""'.length, 0);
    assert.equal(length, 60_000 * 4);
  });

  it('carries hundreds of streams at once', async () => {
    const worker = await start();
    const body = { ...HELLO, stream: true, max_tokens: 20, ignore_eos: true };
    const answers = await Promise.all(
      Array.from({ length: 400 }, () => post(worker, '/v1/chat/completions', body)),
    );
    for (const answer of answers) assert.equal(eventsOf(answer.text).length, 22);
    assert.equal(worker.model.cache.used, 0);
  });

  it('records what came, bounded', async () => {
    const worker = await start({ keepRequests: 2 });
    for (let i = 0; i < 3; i++)
      await post(worker, `/v1/chat/completions?i=${String(i)}`, HELLO, { 'X-Test': String(i) });
    assert.deepEqual(
      worker.seen.map((request) => [request.url, request.headers['x-test'], request.outcome]),
      [
        ['/v1/chat/completions?i=1', '1', 'finished'],
        ['/v1/chat/completions?i=2', '2', 'finished'],
      ],
    );
    assert.deepEqual(JSON.parse(worker.seen[0]?.body.toString() ?? ''), HELLO);
  });

  it('listens on a unix socket', async () => {
    const socketPath = `/tmp/sim-${String(process.pid)}-${String(Date.now())}.sock`;
    const worker = await start({ socketPath });
    assert.equal(worker.url, `unix://${socketPath}`);
    const sent = request({ socketPath, path: '/health' });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    assert.equal(response.statusCode, 200);
  });
});
