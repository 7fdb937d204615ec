/** `response_model: requested`: clients see the name that they asked for, and nothing else of an answer changes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { createGzip } from 'node:zlib';
import { chat, CHAT, post, readBody, streamChat } from '../support/chat.ts';
import { settledAt, startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { ask, headerValue } from '../support/raw-client.ts';
import {
  startRouter,
  startScriptedWorker,
  type Script,
  type ScriptedWorker,
} from '../support/scripted-worker.ts';

const ROUTER = {
  modelRules: [{ match: 'gpt-4o', rewrite: 'llama' }],
  responseModel: 'requested',
} as const satisfies FleetOptions['router'];

function scripted(answer: Script): Promise<ScriptedWorker> {
  return startScriptedWorker(answer, { models: ['llama'] });
}

const ROUTES = [
  ['/v1/chat/completions', { messages: CHAT.messages, max_tokens: 4 }],
  ['/v1/completions', { prompt: 'hi', max_tokens: 4 }],
  ['/v1/messages', { messages: CHAT.messages, max_tokens: 4 }],
  ['/v1/responses', { input: 'hi', max_output_tokens: 4 }],
] as const;

for (const [path, fields] of ROUTES) {
  test(`${path}: the client's name in the answer, in one piece and byte by byte`, async () => {
    await using fleet = await startFleet({ workers: [{ models: ['llama'] }], router: ROUTER });
    const whole = await post(fleet, path, { model: 'gpt-4o', ...fields });
    assert.equal(
      whole.headers.get('x-vllm-router-model'),
      'llama',
      'the record of the router says who served',
    );
    const text = await whole.text();
    assert.equal(whole.headers.get('content-length'), String(Buffer.byteLength(text)));
    assert.equal((JSON.parse(text) as { model: string }).model, 'gpt-4o');

    await fleet.workers[0]?.setFaults(['drip:bytes=1,ms=0']);
    const stream = await readBody(await post(fleet, path, { model: 'gpt-4o', stream: true, ...fields }));
    assert.ok(stream.whole);
    const names = new Set(stream.text.match(/"model": ?"[^"]*"/g));
    assert.deepEqual([...names], ['"model":"gpt-4o"']);
    assert.doesNotMatch(stream.text, /"llama"/);
    const decision = await fleet.decision(({ stream: streamed }) => streamed);
    assert.equal(decision.response_bytes, Buffer.byteLength(stream.text), 'what was sent is what is counted');
  });
}

test('other routes that name the model: embeddings, and an answer far longer than its head', async () => {
  await using fleet = await startFleet({ workers: [{ models: ['llama'] }], router: ROUTER });
  const input = Array.from({ length: 200 }, (_, index) => `text ${index}`);
  const response = await post(fleet, '/v1/embeddings', { model: 'gpt-4o', input });
  assert.equal(response.headers.get('content-length'), null, 'it is not held until its new length is known');
  const { model, data } = (await response.json()) as { model: string; data: { embedding: number[] }[] };
  assert.equal(model, 'gpt-4o');
  assert.equal(data.length, 200);
  assert.equal(data.at(-1)?.embedding.length, 384);
});

test('every other byte of an answer stays, and so do its other headers', async () => {
  const before =
    '\n{"created": 12345678901234567890, "x":"\xe2\xff","mod\\u0065l" : "llama","y":{"model":"llama"}} ';
  await using worker = await scripted((response) => {
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'X-Own': 'yes',
      ETag: '"1"',
      'Content-Length': String(before.length),
    });
    response.end(before, 'latin1');
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  const body = JSON.stringify({ ...CHAT, model: 'gpt-4o' });
  for (const version of ['1.1', '1.0']) {
    const answer = await ask(
      fleet.port,
      `POST /v1/chat/completions HTTP/${version}\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      'POST',
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString('latin1'), before.replace('"llama"', '"gpt-4o"'), version);
    assert.equal(headerValue(answer.headers, 'x-own'), 'yes');
    assert.equal(headerValue(answer.headers, 'etag'), undefined);
    assert.equal(headerValue(answer.headers, 'content-length'), String(before.length + 1));
  }
});

test('an answer in one piece that breaks off before its new length is known is asked for elsewhere', async () => {
  let asked = 0;
  const script: Script = (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '17' });
    asked += 1;
    response.write('{"model":');
    if (asked === 1) setImmediate(() => response.destroy());
    else response.end('"llama"}');
  };
  await using worker = await scripted(script);
  await using other = await scripted(script);
  await using fleet = await startRouter([worker, other], { router: ROUTER });
  const response = await chat(fleet, { model: 'gpt-4o' });
  assert.deepEqual([response.status, response.headers.get('content-length')], [200, '18']);
  assert.equal(await response.text(), '{"model":"gpt-4o"}');
  assert.equal((await fleet.decision()).response_bytes, 18);
});

for (const [what, mark, end] of [
  ['end with CR alone', '', '\r'],
  ['end with CRLF', '', '\r\n'],
  ['begin with a byte order mark', '\ufeff', '\n'],
] as const) {
  test(`events that ${what} are changed and go on at once`, async () => {
    const events = ['{"model":"llama","choices":[{"delta":{"content":"x"}}]}', '{"model":"llama"}', '[DONE]'];
    const sent = events.map((data) => `data: ${data}${end}${end}`);
    let next: (() => void) | undefined;
    await using worker = await scripted((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let at = 0;
      next = () => {
        if (at < sent.length) response.write((at === 0 ? mark : '') + (sent[at] ?? ''));
        else response.end();
        at += 1;
      };
      next();
    });
    await using fleet = await startRouter([worker], { router: ROUTER });
    const response = await streamChat(fleet, { model: 'gpt-4o' });
    // The next event is sent when the one before has come.
    const reader = response.body?.getReader();
    for (const [index, event] of sent.entries()) {
      const { value } = (await reader?.read()) ?? {};
      const expected = (index === 0 ? mark : '') + event.replace('llama', 'gpt-4o');
      assert.equal(Buffer.from(value ?? []).toString(), expected);
      next?.();
    }
    assert.equal((await reader?.read())?.done, true);
    const decision = await fleet.decision();
    assert.deepEqual([decision.outcome, decision.completion_tokens], ['ok', 2]);
  });
}

test('errors, and answers to names that no rule changed, keep their length and bytes', async () => {
  await using worker = await scripted((response, { body }) => {
    const status = body.includes('bad') ? 400 : 200;
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': '17' });
    response.end('{"model":"llama"}');
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  for (const fields of [{ model: 'llama' }, { model: 'gpt-4o', user: 'bad' }]) {
    const response = await chat(fleet, fields);
    assert.equal(response.headers.get('content-length'), '17');
    assert.equal(await response.text(), '{"model":"llama"}');
  }
});

test('by default the worker’s own name is in the answer, at its length', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['llama'] }],
    router: { modelRules: ROUTER.modelRules },
    onlyRegular: 'an answer of a pair is edited, and has no length',
  });
  const response = await chat(fleet, { model: 'gpt-4o' });
  assert.ok(response.headers.get('content-length'));
  assert.equal(((await response.json()) as { model: string }).model, 'llama');
});

for (const fault of ['reset:after=2,partial=true', 'close:after=2,partial=true', 'close:after=2']) {
  test(`a worker that breaks its stream (${fault}): whole events, then the error event`, async () => {
    await using fleet = await startFleet({
      workers: [{ models: ['llama'], faults: [fault] }],
      router: ROUTER,
    });
    const { text, whole } = await readBody(await streamChat(fleet, { model: 'gpt-4o', max_tokens: 8 }));
    assert.ok(whole);
    const events = text.split('\n\n');
    assert.equal(events.pop(), '');
    const last = events.pop() ?? '';
    const { error } = JSON.parse(last.slice('data: '.length)) as { error: { code: string } };
    assert.equal(error.code, 'worker_closed');
    // A reset may overtake what the worker has sent.
    if (fault.startsWith('close')) assert.equal(events.length, 2);
    for (const event of events)
      assert.equal((JSON.parse(event.slice('data: '.length)) as { model: string }).model, 'gpt-4o');
    assert.equal((await fleet.decision()).outcome, 'worker_broken');
  });
}

test('a stream that is cut right behind its end is whole for the client', async () => {
  const events = 'data: {"model":"llama","choices":[{}]}\n\ndata: [DONE]\n';
  await using worker = await scripted((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(events, () => response.socket?.destroy());
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  const { text, whole } = await readBody(await streamChat(fleet, { model: 'gpt-4o' }));
  assert.ok(whole);
  assert.equal(text, events.replace('llama', 'gpt-4o'));
});

test('an encoded answer goes on as it comes, however short it is before it is decoded', async () => {
  const gzip = createGzip();
  const pieces: Buffer[] = [];
  gzip.on('data', (piece: Buffer) => pieces.push(piece));
  gzip.write(`{"model":"llama","text":"${'x'.repeat(200_000)}`);
  await new Promise<void>((resolve) => {
    gzip.flush(resolve);
  });
  const first = Buffer.concat(pieces.splice(0));
  gzip.end('"}');
  await once(gzip, 'end');
  const rest = Buffer.concat(pieces);
  let finish = (): unknown => assert.fail('nothing was asked');
  await using worker = await scripted((response) => {
    const length = String(first.length + rest.length);
    const type = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    response.writeHead(200, { ...type, 'content-length': length }).write(first);
    finish = () => response.end(rest);
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  const response = await chat(fleet, { model: 'gpt-4o' });
  const reader = response.body!.getReader();
  let text = Buffer.from((await reader.read()).value).toString();
  assert.match(text, /^\{"model":"gpt-4o"/, 'there before the worker has said all');
  finish();
  for (let read = await reader.read(); !read.done; read = await reader.read())
    text += Buffer.from(read.value).toString();
  assert.equal((JSON.parse(text) as { text: string }).text.length, 200_000);
});

test('JSON that the only worker breaks off is an error, and visibly broken for a client that has got some of it', async () => {
  for (const [length, status] of [
    [60_000, 502],
    [70_000, 200],
  ] as const) {
    await using worker = await scripted((response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(length) });
      response.write(`{"model":"llama","text":"${'x'.repeat(50_000)}`, () => response.destroy());
    });
    await using fleet = await startRouter([worker], { router: ROUTER });
    const response = await chat(fleet, { model: 'gpt-4o' });
    assert.equal(response.status, status);
    assert.equal((await readBody(response)).whole, status === 502);
  }
});

test('a client that leaves cuts its worker', async () => {
  await using worker = await scripted((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"model":"llama"}\n\ndata: {"mod');
    response.on('close', () => closed.resolve(undefined));
  });
  const closed = Promise.withResolvers<undefined>();
  await using fleet = await startRouter([worker], { router: ROUTER });
  const leave = new AbortController();
  const response = await streamChat(fleet, { model: 'gpt-4o' }, { signal: leave.signal });
  const reader = response.body?.getReader();
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'data: {"model":"gpt-4o"}\n\n');
  leave.abort();
  await closed.promise;
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});

const EVENT = `data: {"model":"llama","x":"${'y'.repeat(65_000)}"}\n\n`;
const EVENTS = 2000;
/** What the kernel may hold on the way, with much room; all events together are 130 MB. */
const HELD = 24 * 1024 * 1024;

async function askWithoutReading(fleet: Fleet): Promise<IncomingMessage> {
  const client = request(`${fleet.url}/v1/chat/completions`, { method: 'POST', agent: false });
  client.end(JSON.stringify({ ...CHAT, model: 'gpt-4o', stream: true }));
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  return response;
}

test('a slow reader of a changed stream slows its worker, and gets every event in the end', async () => {
  let written = 0;
  let stream: ServerResponse | undefined;
  const pump = (): void => {
    while (stream && written < EVENTS) {
      written += 1;
      if (!stream.write(EVENT)) return;
    }
    stream?.end('data: [DONE]\n\n');
  };
  await using worker = await scripted((response) => {
    stream = response;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.on('drain', pump);
    pump();
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  const response = await askWithoutReading(fleet);
  const stood = await settledAt(() => written);
  assert.ok(stood * EVENT.length < HELD, `${stood} events were taken from the worker`);
  let names = 0;
  let size = 0;
  let tail = '';
  for await (const piece of response) {
    const text = tail + (piece as Buffer).toString('latin1');
    names += text.split('"model":"gpt-4o"').length - 1;
    // Shorter than the name, so that none is counted twice.
    tail = text.slice(-14);
    size += (piece as Buffer).length;
  }
  assert.equal(names, EVENTS);
  assert.equal(size, EVENTS * (EVENT.length + 1) + 'data: [DONE]\n\n'.length);
});
