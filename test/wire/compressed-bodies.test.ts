/** Compressed request bodies: read as what they say wherever they must be read, untouched elsewhere. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { eventually, type Fleet } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  answerJson,
  startRouter,
  startScriptedWorker,
  valuesOf,
  type Received,
} from '../support/scripted-worker.ts';

const CHAT = Buffer.from(
  JSON.stringify({
    model: 'sim-model',
    stream: true,
    messages: [{ role: 'user', content: 'a'.repeat(5000) }],
  }),
);
const PACK = {
  gzip: (bytes: Buffer) => gzipSync(bytes),
  deflate: (bytes: Buffer) => deflateSync(bytes),
  br: (bytes: Buffer) => brotliCompressSync(bytes),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
};

function post(
  fleet: Fleet,
  path: string,
  body: Buffer,
  encoding: string,
  type = 'application/json',
): Promise<Response> {
  return fetch(fleet.url + path, {
    method: 'POST',
    headers: { 'content-type': type, 'content-encoding': encoding },
    body,
  });
}

async function errorOf(response: Response): Promise<{ code?: string; type?: string; message: string }> {
  const { error } = (await response.json()) as { error: { code?: string; type?: string; message: string } };
  return error;
}

function assertPlain({ body, rawHeaders }: Received, plain: Buffer): void {
  assert.deepEqual(body, plain);
  assert.deepEqual(valuesOf(rawHeaders, 'content-encoding'), []);
  assert.deepEqual(valuesOf(rawHeaders, 'content-length'), [String(plain.length)]);
}

const CHAT_PATH = '/v1/chat/completions';

for (const [what, encoding, packed] of [
  ...(Object.keys(PACK) as (keyof typeof PACK)[]).map((name) => [name, name, PACK[name](CHAT)] as const),
  ['an old name, in capitals', 'X-GZIP', PACK.gzip(CHAT)],
  ['deflate without its head', 'deflate', deflateRawSync(CHAT)],
  ['identity, which is none', 'identity', CHAT],
  ['identity beside another', 'identity, gzip,', PACK.gzip(CHAT)],
  ['two, one after the other', 'gzip, br', PACK.br(PACK.gzip(CHAT))],
  [
    'gzip of several members',
    'gzip',
    Buffer.concat([PACK.gzip(CHAT.subarray(0, 9)), PACK.gzip(CHAT.subarray(9))]),
  ],
  [
    'zstd of several frames',
    'zstd',
    Buffer.concat([PACK.zstd(CHAT.subarray(0, 9)), PACK.zstd(CHAT.subarray(9))]),
  ],
] as const) {
  test(`decoded: ${what}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    const response = await post(fleet, CHAT_PATH, packed, encoding);
    assert.equal(response.status, 200);
    await response.text();
    if (encoding === 'identity') assert.deepEqual(worker.last.body, CHAT);
    else assertPlain(worker.last, CHAT);
    const { requested_model, stream, request_bytes } = await fleet.decision();
    assert.deepEqual([requested_model, stream, request_bytes], ['sim-model', true, packed.length]);
    await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
  });
}

test('decoded: two in two headers, of a body in chunks', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  const packed = PACK.zstd(PACK.deflate(CHAT));
  client.send(
    `POST ${CHAT_PATH} HTTP/1.1\r\nHost: r\r\nContent-Encoding: deflate\r\nX: y\r\nContent-Encoding: zstd\r\n` +
      `Transfer-Encoding: chunked\r\n\r\n${packed.length.toString(16)}\r\n`,
  );
  client.send(packed);
  client.send('\r\n0\r\n\r\n');
  assert.equal((await client.response()).status, 200);
  assertPlain(worker.last, CHAT);
});

for (const path of [
  ...['/v1/completions', '/v1/embeddings', '/v1/responses', '/v1/messages', '/v1/messages/count_tokens'],
  ...['/v1/rerank', '/tokenize', '/generate'],
]) {
  test(`decoded on ${path}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    const body = Buffer.from('{"model":"sim-model","input":"a","prompt":"b"}');
    assert.equal((await post(fleet, path, PACK.zstd(body), 'zstd')).status, 200);
    assertPlain(worker.last, body);
    assert.equal((await fleet.decision()).requested_model, 'sim-model');
  });
}

const FORM_TYPE = 'multipart/form-data; boundary=B';
function form(fileBytes: number): Buffer {
  const file = 'x'.repeat(fileBytes);
  return Buffer.from(
    `--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${file}\r\n` +
      '--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim-model\r\n--B--\r\n',
  );
}

test('decoded: a form', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const body = form(100);
  const response = await post(fleet, '/v1/audio/transcriptions', PACK.gzip(body), 'gzip', FORM_TYPE);
  assert.equal(response.status, 200);
  assertPlain(worker.last, body);
  assert.equal((await fleet.decision()).requested_model, 'sim-model');
});

test('untouched: what need not be read, held or streamed', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const noise = Buffer.from(Array.from({ length: 1_500_000 }, (_, at) => (at * at * 31 + (at >> 3)) & 255));
  for (const [path, body, encoding, type] of [
    ['/ingest', PACK.gzip(CHAT), 'gzip', 'a/b'],
    ['/ingest', CHAT, 'made-up, gzip, br', 'a/b'],
    ['/ingest', noise, 'gzip', 'a/b'],
    // As large a form is not read either where all workers serve the same.
    ['/v1/audio/transcriptions', noise, 'gzip', FORM_TYPE],
  ] as const) {
    assert.equal((await post(fleet, path, body, encoding, type)).status, 200);
    assert.ok(worker.last.body.equals(body));
    assert.deepEqual(valuesOf(worker.last.rawHeaders, 'content-encoding'), [encoding]);
  }
});

for (const encoding of ['compress', 'made-up', 'gzip, br, gzip', 'aws-chunked,gzip', 'gzip;q=1']) {
  test(`refused with the names of what is accepted: ${encoding}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    const response = await post(fleet, CHAT_PATH, CHAT, encoding);
    assert.deepEqual(
      [response.status, response.headers.get('accept-encoding')],
      [415, 'gzip, deflate, br, zstd'],
    );
    const { code, message } = await errorOf(response);
    assert.equal(code, 'unsupported_encoding');
    assert.match(message, /accepted are gzip, deflate, br, zstd$/);
    const anthropic = await errorOf(await post(fleet, '/v1/messages', CHAT, encoding));
    assert.equal(anthropic.type, 'invalid_request_error');
    assert.equal(worker.received.length, 0);
    assert.equal((await fleet.decision(({ status }) => status === 415)).outcome, 'rejected');
  });
}

test('refused before the upload', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(
    `POST ${CHAT_PATH} HTTP/1.1\r\nHost: r\r\nContent-Encoding: lz4\r\nContent-Length: 1000000\r\n\r\n{`,
  );
  assert.equal((await client.response()).status, 415);
});

for (const [what, encoding, body] of [
  ['a body that is not compressed', 'gzip', CHAT],
  ['not compressed, as brotli', 'br', CHAT],
  ['not compressed, as zstd', 'zstd', CHAT],
  ['not compressed, as deflate', 'deflate', CHAT],
  ...(Object.keys(PACK) as (keyof typeof PACK)[]).flatMap((name) => {
    const packed = PACK[name](CHAT);
    return [
      [`${name}, cut off`, name, packed.subarray(0, -5)],
      [`${name}, with something behind it`, name, Buffer.concat([packed, Buffer.from('more')])],
      [`${name}, twice and cut off`, name, Buffer.concat([packed, packed]).subarray(0, -5)],
    ] as const;
  }),
  ['padded with zeros', 'gzip', Buffer.concat([PACK.gzip(CHAT), Buffer.alloc(64)])],
  ['two members as deflate', 'deflate', Buffer.concat([PACK.deflate(CHAT), PACK.deflate(CHAT)])],
  ['the wrong order of two', 'gzip, br', PACK.gzip(PACK.br(CHAT))],
  ['thousands of frames without content', 'zstd', Buffer.alloc(9_000, PACK.zstd(Buffer.alloc(0)))],
  [
    'zstd with a window that no receiver need have',
    'zstd',
    zstdCompressSync(Buffer.alloc(10_000_000, 'ab'), { params: { [constants.ZSTD_c_windowLog]: 26 } }),
  ],
] as const) {
  test(`a fault of the client's: ${what}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    const response = await post(fleet, CHAT_PATH, body, encoding);
    assert.equal(response.status, 400);
    assert.equal((await errorOf(response)).code, 'invalid_encoding');
    assert.equal(worker.received.length, 0);
    await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
  });
}

test('a body of no bytes is what it is, whatever it claims to be', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  assert.equal((await post(fleet, '/ingest', Buffer.alloc(0), 'gzip')).status, 200);
  assert.equal((await post(fleet, CHAT_PATH, PACK.gzip(Buffer.alloc(0)), 'gzip')).status, 200);
  assert.equal(worker.last.body.length, 0);
});

const MIB = 1024 * 1024;
for (const name of Object.keys(PACK) as (keyof typeof PACK)[]) {
  const zeros = Buffer.alloc(64 * MIB);
  test(`a bomb is too large: ${name}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker], { router: { maxPayloadSize: MIB } });
    const { bodyBytes } = fleet.app.runtime;
    let most = 0;
    const take = bodyBytes.take.bind(bodyBytes);
    bodyBytes.take = (bytes) => {
      const taken = take(bytes);
      most = Math.max(most, bodyBytes.held);
      return taken;
    };
    const response = await post(fleet, CHAT_PATH, PACK[name](zeros), name);
    assert.equal(response.status, 413);
    assert.equal((await errorOf(response)).code, 'payload_too_large');
    await eventually(() => bodyBytes.held === 0);
    assert.ok(most < 2 * MIB, `decoding went on up to ${most} bytes`);
    assert.equal(worker.received.length, 0);
  });
}

test('a few bytes that hold very many are no body, whatever a body may have; honest ones are', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const { bodyBytes } = fleet.app.runtime;
  const zeros = Buffer.alloc(64 * MIB);
  const bombs = [
    ...Object.entries(PACK).map(([name, pack]) => [name, pack(zeros)] as const),
    ['gzip, gzip', gzipSync(gzipSync(zeros))] as const,
  ];
  for (const [encoding, bomb] of bombs) {
    const response = await post(fleet, CHAT_PATH, bomb, encoding);
    assert.equal(response.status, 413, encoding);
    assert.equal((await errorOf(response)).code, 'payload_too_large');
  }
  await eventually(() => bodyBytes.held === 0);
  assert.equal(worker.received.length, 0);
  const image = randomBytes(13_000_000).toString('base64');
  const large = JSON.stringify({ model: 'sim-model', messages: [], image });
  assert.equal((await post(fleet, CHAT_PATH, gzipSync(large), 'gzip')).status, 200);
  assert.equal(worker.last.body.length, large.length);
});

test('decoded bytes count among those that are held', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { maxInflightBodyBytes: 100_000 } });
  const large = Buffer.from(JSON.stringify({ model: 'sim-model', prompt: 'a'.repeat(200_000) }));
  const response = await post(fleet, CHAT_PATH, PACK.gzip(large), 'gzip');
  assert.equal(response.status, 503);
  assert.equal((await errorOf(response)).code, 'inflight_bytes_exceeded');
  await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
  assert.equal((await post(fleet, CHAT_PATH, PACK.gzip(CHAT), 'gzip')).status, 200);
});

test('a second worker gets the decoded body, too', async () => {
  let tries = 0;
  const answer = (response: Parameters<typeof answerJson>[0]): void => {
    tries += 1;
    if (tries === 1) response.writeHead(503).end();
    else answerJson(response);
  };
  await using first = await startScriptedWorker(answer);
  await using second = await startScriptedWorker(answer);
  await using fleet = await startRouter([first, second]);
  assert.equal((await post(fleet, CHAT_PATH, PACK.br(CHAT), 'br')).status, 200);
  for (const worker of [first, second]) assertPlain(worker.last, CHAT);
});

test('model rules see what it says, and write into it', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'gpt-4', rewrite: 'sim-model' }] },
  });
  assert.equal(
    (await post(fleet, CHAT_PATH, PACK.zstd(Buffer.from('{"model":"gpt-4"}')), 'zstd')).status,
    200,
  );
  assertPlain(worker.last, Buffer.from('{"model":"sim-model"}'));
});

test('hooks see what it says, on every route, and no word of how it came', async () => {
  await using hook = await startHook();
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: {
      preRoutingHooks: [{ name: 'h', url: hook.url, forwardHeaders: ['x-own'] }],
    },
  });
  for (const path of [CHAT_PATH, '/ingest']) {
    assert.equal((await post(fleet, path, PACK.gzip(CHAT), 'gzip')).status, 200);
    assert.deepEqual(hook.last.body, CHAT);
    assert.deepEqual(valuesOf(hook.last.rawHeaders, 'content-encoding'), []);
    assertPlain(worker.last, CHAT);
  }
  const before = hook.calls.length;
  assert.equal((await post(fleet, '/ingest', CHAT, 'made-up')).status, 415);
  assert.equal(hook.calls.length, before);
});

test('forwarded as it came where that is configured, and decoded where something was changed', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { forwardEncodedBodies: true, modelRules: [{ match: 'gpt-4', rewrite: 'sim-model' }] },
  });
  const packed = PACK.zstd(CHAT);
  assert.equal((await post(fleet, CHAT_PATH, packed, 'zstd')).status, 200);
  assert.deepEqual(worker.last.body, packed);
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'content-encoding'), ['zstd']);
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'content-length'), [String(packed.length)]);
  assert.equal((await fleet.decision()).requested_model, 'sim-model');
  await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
  assert.equal(
    (await post(fleet, CHAT_PATH, PACK.zstd(Buffer.from('{"model":"gpt-4"}')), 'zstd')).status,
    200,
  );
  assertPlain(worker.last, Buffer.from('{"model":"sim-model"}'));
  await eventually(() => fleet.app.runtime.bodyBytes.held === 0);
});
