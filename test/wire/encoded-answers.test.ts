/** Workers are asked for plain answers. One that encodes all the same is read, and its client gets what it can read. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import {
  brotliCompressSync,
  createGzip,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { CHAT } from '../support/chat.ts';
import { eventually, settledAt, startFleet, type Fleet } from '../support/fleet.ts';
import { ask, headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, valuesOf, type Script } from '../support/scripted-worker.ts';

const ROUTER = {
  apiKeys: [{ name: 'blue', key: 'sk-blue', tokensPerMinute: 1_000_000 }],
  usageInjection: 'off',
} as const;
const USAGE = '"usage":{"prompt_tokens":2100,"total_tokens":2500,"completion_tokens":400}';
const JSON_BODY = `{"model":"llama","choices":[{"message":{"content":"${'hello '.repeat(400)}"}}],${USAGE}}`;
const CHUNK = 'data: {"model":"llama","choices":[{"delta":{"content":"x"}}]}\n\n';
const STREAM = `${CHUNK.repeat(20)}data: {"choices":[],${USAGE}}\n\ndata: [DONE]\n\n`;

const CODINGS: readonly (readonly [name: string, encode: (body: string) => Buffer])[] = [
  ['gzip', (body) => gzipSync(body)],
  ['X-GZIP', (body) => gzipSync(body)],
  ['deflate', (body) => deflateSync(body)],
  ['deflate', (body) => deflateRawSync(body)],
  ['br', (body) => brotliCompressSync(body)],
  ['zstd', (body) => zstdCompressSync(body)],
  ['deflate, gzip', (body) => gzipSync(deflateSync(body))],
];

function requestOf(accept: string | undefined, path = '/v1/chat/completions', more: object = {}): string {
  const body = JSON.stringify({ ...CHAT, max_tokens: 500, ...more });
  const encoding = accept === undefined ? '' : `Accept-Encoding: ${accept}\r\n`;
  return `POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-blue\r\n${encoding}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function send(fleet: Fleet, accept: string | undefined, path?: string, more?: object): Promise<RawResponse> {
  return ask(fleet.port, requestOf(accept, path, more), 'POST');
}

function answers(type: string, coding: string, body: Buffer, framed = true): Script {
  return (response) => {
    const length = framed ? ['content-length', String(body.length)] : [];
    response.writeHead(200, ['content-type', type, 'content-encoding', coding, 'etag', '"1"', ...length]);
    response.end(body);
  };
}

async function assertCharged(fleet: Fleet, tokens: number): Promise<void> {
  const { outcome, charged_tokens: charged } = await fleet.decision();
  assert.deepEqual([outcome, charged], ['ok', tokens]);
}

for (const path of [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/messages',
  '/v1/responses',
  '/tokenize',
  '/v9/unheard/of',
]) {
  test(`${path}: the worker is asked for a plain answer`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker], { router: ROUTER });
    for (const accept of ['gzip, br', undefined, '*;q=0']) {
      await send(fleet, accept, path);
      assert.deepEqual(valuesOf(worker.last.rawHeaders, 'accept-encoding'), ['identity']);
    }
  });
}

test('where answers are not read, the client’s wish is the worker’s', async () => {
  await using worker = await startScriptedWorker(answers('text/plain', 'gzip', gzipSync('up 1')));
  await using fleet = await startRouter([worker], { router: { proxyOperatorRoutes: true } });
  const response = await ask(fleet.port, 'GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n');
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'accept-encoding'), ['br']);
  assert.equal(headerValue(response.headers, 'content-encoding'), 'gzip');
  assert.deepEqual(response.body, gzipSync('up 1'));
});

for (const [coding, encode] of CODINGS) {
  for (const [what, type, body] of [
    ['JSON', 'application/json', JSON_BODY],
    ['a stream', 'text/event-stream', STREAM],
  ] as const) {
    test(`${what} in ${coding}: the bytes for who takes it, plain for who does not, the cost for both`, async () => {
      const encoded = encode(body);
      await using worker = await startScriptedWorker(answers(type, coding, encoded, what === 'JSON'));
      for (const accept of [coding, '*', undefined]) {
        await using fleet = await startRouter([worker], { router: ROUTER });
        const response = await send(fleet, accept);
        assert.equal(headerValue(response.headers, 'content-encoding'), coding, accept);
        assert.equal(headerValue(response.headers, 'etag'), '"1"');
        assert.deepEqual(response.body, encoded);
        await assertCharged(fleet, 2500);
      }
      for (const accept of ['identity', '', `${coding.split(', ')[0] ?? ''};q=0, *`]) {
        await using fleet = await startRouter([worker], { router: ROUTER });
        const response = await send(fleet, accept);
        for (const name of ['content-encoding', 'content-length', 'etag'])
          assert.equal(headerValue(response.headers, name), undefined, name);
        assert.equal(response.body.toString(), body);
        await assertCharged(fleet, 2500);
        assert.equal((await fleet.decision()).response_bytes, body.length);
      }
    });
  }
}

test('a refusal that the worker encodes can be read, too', async () => {
  const body = '{"error":{"message":"no"}}';
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(400, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
    response.end(gzipSync(body));
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  const response = await send(fleet, 'identity');
  assert.deepEqual([response.status, response.body.toString()], [400, body]);
});

for (const [what, coding] of [
  ['a coding that nobody knows', 'sdch'],
  ['more than two', 'gzip, gzip, gzip'],
] as const) {
  test(`${what} passes as it is, and costs what was set aside`, async () => {
    const body = Buffer.from('whatever it is');
    await using worker = await startScriptedWorker(answers('application/json', coding, body));
    await using fleet = await startRouter([worker], { router: ROUTER });
    const response = await send(fleet, 'identity');
    assert.equal(headerValue(response.headers, 'content-encoding'), coding);
    assert.deepEqual(response.body, body);
    const { request_bytes: bytes, tokens_estimated: estimated } = await fleet.decision();
    assert.equal(estimated, true);
    await assertCharged(fleet, Math.ceil(bytes / 4) + 500);
  });
}

const LIE = Buffer.from('{"this":"is not gzip"}');
const RENAMED = {
  modelRules: [{ match: 'gpt-4o', rewrite: 'llama' }],
  responseModel: 'requested',
} as const;

test('what is not encoded as it says: the bytes for who takes them, a 502 for who does not', async () => {
  await using worker = await startScriptedWorker(answers('application/json', 'gzip', LIE));
  await using fleet = await startRouter([worker], { router: { ...ROUTER, disableRetries: true } });
  assert.deepEqual((await send(fleet, 'gzip')).body, LIE);
  assert.equal((await fleet.decision()).outcome, 'ok');
  const { status, body } = await send(fleet, 'identity');
  assert.deepEqual([status, errorOf(body)], [502, 'worker_bad_response']);
  const record = await fleet.decision(({ outcome }) => outcome !== 'ok');
  assert.deepEqual([record.outcome, record.error], ['worker_broken', 'worker_bad_response']);
  assert.match(await fleet.metrics(), /vllm_router_cb_outcomes_total\{[^}]*outcome="failure"[^}]*\} 1\n/);
});

function errorOf(body: Buffer): unknown {
  return (JSON.parse(body.toString()) as { error: { code?: string } }).error.code;
}

for (const [what, type, coding, half] of [
  ['a document that is not encoded as it says', 'application/json', 'gzip', LIE],
  ['a stream that is not encoded as it says', 'text/event-stream', 'br', Buffer.from(STREAM)],
  [
    'a document of which the first bytes decode to nothing',
    'application/json',
    'gzip',
    gzipSync(JSON_BODY).subarray(0, 20),
  ],
  [
    'a stream that breaks within its first event',
    'text/event-stream',
    'identity',
    Buffer.from('data: {"mod'),
  ],
] as const) {
  // The worker's connection stays open, or breaks off.
  for (const ending of coding === 'identity' || half.length === 20 ? ['breaks'] : ['stays', 'breaks']) {
    test(`${what}, which nobody has seen anything of, is another worker's (${ending})`, async () => {
      let asked = 0;
      const script: Script = (response) => {
        asked += 1;
        const headers = [
          'content-type',
          type,
          ...(coding === 'identity' ? [] : ['content-encoding', coding]),
        ];
        if (asked > 1) response.writeHead(200, ['content-type', 'application/json']).end(JSON_BODY);
        else response.writeHead(200, headers).write(half, () => ending === 'breaks' && response.destroy());
      };
      await using one = await startScriptedWorker(script, { models: ['llama'] });
      await using two = await startScriptedWorker(script, { models: ['llama'] });
      await using fleet = await startRouter([one, two], { router: { ...ROUTER, ...RENAMED } });
      const { status, body } = await send(fleet, 'identity', undefined, { model: 'gpt-4o' });
      assert.deepEqual([status, body.toString()], [200, JSON_BODY.replace('llama', 'gpt-4o')]);
      assert.deepEqual([one.received.length, two.received.length], [1, 1]);
      const { attempts, outcome } = await fleet.decision();
      assert.deepEqual([outcome, attempts.length], ['ok', 2]);
      await assertCharged(fleet, 2500);
    });
  }
}

test('where nobody else answers, the error is in the dialect of the caller', async () => {
  await using worker = await startScriptedWorker(answers('application/json', 'gzip', LIE), {
    models: ['llama'],
  });
  await using fleet = await startRouter([worker], {
    router: { ...ROUTER, ...RENAMED, disableRetries: true },
  });
  const { status, body } = await send(fleet, 'gzip', '/v1/messages', { model: 'gpt-4o' });
  const { type, error } = JSON.parse(body.toString()) as { type: string; error: { type: string } };
  assert.deepEqual([status, type, error.type], [502, 'error', 'api_error']);
});

test('a changed answer is decoded for everybody', async () => {
  for (const [type, body] of [
    ['application/json', JSON_BODY],
    ['text/event-stream', STREAM],
  ] as const) {
    await using worker = await startScriptedWorker(answers(type, 'gzip', gzipSync(body)), {
      models: ['llama'],
    });
    await using fleet = await startRouter([worker], {
      router: { ...ROUTER, ...RENAMED },
    });
    const response = await send(fleet, 'gzip', undefined, { model: 'gpt-4o' });
    assert.equal(headerValue(response.headers, 'content-encoding'), undefined);
    assert.equal(response.body.toString(), body.replaceAll('llama', 'gpt-4o'));
    await assertCharged(fleet, 2500);
  }
});

test('events of an encoded stream go on as they come', async () => {
  let next: (() => void) | undefined;
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    const gzip = createGzip();
    gzip.pipe(response);
    next = () => {
      gzip.write(CHUNK);
      gzip.flush();
    };
    next();
    response.on('close', () => gzip.destroy());
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  await using client = await RawClient.connect(fleet.port);
  client.send(requestOf('identity', undefined, { stream: true }));
  for (let count = 1; count <= 3; count += 1) {
    await client.seen(new RegExp(`(?:"content":"x"[^]*){${count}}`));
    next?.();
  }
});

for (const [accept, whole] of [
  ['identity', true],
  ['gzip', false],
] as const) {
  test(`an encoded stream that breaks is ${whole ? 'told of in an event' : 'cut'} for who takes ${accept}`, async () => {
    await using worker = await startScriptedWorker((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
      const gzip = createGzip();
      gzip.pipe(response);
      gzip.write(CHUNK.repeat(2));
      gzip.flush(() => response.write('', () => response.socket?.end()));
    });
    await using fleet = await startRouter([worker], { router: ROUTER });
    const response = await fetch(`${fleet.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-blue', 'accept-encoding': accept },
      body: JSON.stringify({ ...CHAT, stream: true, max_tokens: 500 }),
    });
    const text = await response.text().catch(() => undefined);
    assert.equal(text !== undefined, whole);
    if (whole)
      assert.match(text ?? '', /^(?:data: \{"model".*\n\n){2}data: \{"error":.*worker_closed.*\n\n$/);
    const record = await fleet.decision();
    assert.deepEqual([record.outcome, record.completion_tokens], ['worker_broken', 2]);
  });
}

/** What the kernel and the router may hold on the way, with much room; a bomb has far more. */
const HELD = 32 * 1024 * 1024;
const BOMB_BYTES = 512 * 1024 * 1024;

test('a bomb does not fill the memory: who reads slowly is waited for', async () => {
  const part = gzipSync(Buffer.alloc(BOMB_BYTES / 16, 0x20));
  let stream: ServerResponse | undefined;
  await using worker = await startScriptedWorker((response) => {
    stream = response;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    for (let i = 0; i < 16; i += 1) response.write(part);
    response.end();
  });
  await using fleet = await startRouter([worker], { router: ROUTER });
  await using client = await RawClient.connect(fleet.port);
  client.socket.pause();
  const before = process.memoryUsage();
  client.send(requestOf('identity'));
  await eventually(() => stream !== undefined);
  const held = (): number => {
    const { external, arrayBuffers } = process.memoryUsage();
    return external + arrayBuffers - before.external - before.arrayBuffers;
  };
  await settledAt(() => Math.round(held() / 1e6));
  assert.ok(held() < HELD, `${held()} bytes are held`);
});

test('a bomb for who takes it as it is costs its bytes only, and what was set aside', async () => {
  const body = gzipSync(Buffer.alloc(BOMB_BYTES / 4, 0x20));
  await using worker = await startScriptedWorker(answers('application/json', 'gzip', body));
  await using fleet = await startRouter([worker], { router: ROUTER });
  assert.deepEqual((await send(fleet, 'gzip')).body, body);
  const { request_bytes: bytes } = await fleet.decision();
  await assertCharged(fleet, Math.ceil(bytes / 4) + 500);
});

test('a simulated fleet answers plain, whatever is asked', async () => {
  await using fleet = await startFleet({ workers: [{}], router: ROUTER });
  const response = await send(fleet, 'gzip');
  assert.equal(headerValue(response.headers, 'content-encoding'), undefined);
});
