/** What the worker answers is what the client gets: status, reason, headers, body, byte for byte. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { Fleet } from '../support/fleet.ts';
import { ask, headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import {
  startRouter,
  startScriptedWorker,
  type Script,
  type ScriptedWorker,
} from '../support/scripted-worker.ts';

let worker: ScriptedWorker;
let fleet: Fleet;

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker]);
});

after(async () => {
  await fleet.stop();
  await worker[Symbol.asyncDispose]();
});

function get(script: Script, method = 'GET', path = '/anything'): Promise<RawResponse> {
  worker.answer = script;
  return ask(fleet.port, `${method} ${path} HTTP/1.1\r\nHost: r\r\n\r\n`, method);
}

/** Lets the worker answer with these very bytes and close. */
function raw(bytes: string): Script {
  return (response) => {
    response.socket?.end(Buffer.from(bytes, 'latin1'));
  };
}

function names(response: RawResponse): string[] {
  return response.headers.map(([name]) => name.toLowerCase());
}

for (const [status, reason] of [
  [200, 'OK'],
  [200, ''],
  [200, 'Everything is fine, thanks (really)'],
  [201, 'Created'],
  [206, 'Partial Content'],
  [299, 'Whatever'],
  [302, 'Found'],
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [404, 'Not Found'],
  [418, "I'm a teapot"],
  [422, 'Unprocessable Entity'],
  [501, 'Not Implemented'],
  [599, 'Odd'],
] as const) {
  test(`status ${status} "${reason}" and its body`, async () => {
    const response = await get(raw(`HTTP/1.1 ${status} ${reason}\r\nContent-Length: 4\r\n\r\nbody`));
    assert.deepEqual(
      [response.status, response.statusText, response.body.toString()],
      [status, reason, 'body'],
    );
  });
}

test('a reason outside of ASCII goes out as the same bytes', async () => {
  const reason = Buffer.from('réussi 好').toString('latin1');
  const response = await get(raw(`HTTP/1.1 200 ${reason}\r\nContent-Length: 2\r\n\r\nok`));
  assert.equal(response.status, 200);
  assert.equal(response.statusText, reason);
});

test('an error in vLLM’s shape is not touched', async () => {
  const body =
    '{"error":{"message":"max_tokens is too large","type":"BadRequestError","param":null,"code":400}}';
  const response = await get(
    raw(
      `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    ),
    'GET',
    '/v1/chat/completions',
  );
  assert.equal(response.body.toString(), body);
});

test('headers keep order, case, duplicates and bytes', async () => {
  const lines = [
    ['X-B', '1'],
    ['Set-Cookie', 'a=1; Path=/'],
    ['set-cookie', 'b=2'],
    ['x-A', '2'],
    ['Set-Cookie', 'a=3'],
    ['X-b', 'caf\xe9'],
    ['Vary', 'accept'],
    ['ETag', '"x"'],
    ['Server', 'uvicorn'],
    ['Date', 'Tue, 03 Nov 2026 09:21:07 GMT'],
    ['Content-Length', '2'],
  ] as const;
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const response = await get(raw(`HTTP/1.1 200 OK\r\n${head}\r\nok`));
  assert.deepEqual(response.headers.slice(0, lines.length), lines);
  assert.equal(names(response).filter((name) => name === 'date').length, 1);
});

test('hop-by-hop headers and those that Connection names stay behind', async () => {
  const response = await get(
    raw(
      'HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nProxy-Authenticate: Basic\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok',
    ),
  );
  for (const gone of ['x-hop', 'proxy-authenticate']) assert.ok(!names(response).includes(gone), gone);
  assert.equal(headerValue(response.headers, 'x-kept'), '1');
  // The client's connection is not the worker's.
  assert.equal(headerValue(response.headers, 'connection'), 'keep-alive');
});

for (const [encoding, body] of [
  ['gzip', gzipSync('{"choices":[]}'.repeat(50))],
  ['br', brotliCompressSync('{"choices":[]}'.repeat(50))],
] as const) {
  test(`a body encoded with ${encoding} is not decoded`, async () => {
    const response = await get((res) => {
      res
        .writeHead(200, [
          'Content-Type',
          'application/json',
          'Content-Encoding',
          encoding,
          'Content-Length',
          String(body.length),
        ])
        .end(body);
    });
    assert.equal(headerValue(response.headers, 'content-encoding'), encoding);
    assert.equal(headerValue(response.headers, 'content-length'), String(body.length));
    assert.deepEqual(response.body, body);
  });
}

test('a compressed event stream is not decoded, and not taken for broken', async () => {
  const body = gzipSync('data: {"choices":[]}\n\ndata: [DONE]\n\n');
  const response = await get((res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }).end(body);
  });
  assert.deepEqual(response.body, body);
});

test('a body of every byte there is, in odd pieces', async () => {
  const body = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff));
  const response = await get((res) => {
    res.writeHead(200, { 'content-type': 'application/octet-stream' });
    for (let at = 0; at < body.length; at += 9_973) res.write(body.subarray(at, at + 9_973));
    res.end();
  });
  assert.deepEqual(response.body, body);
});

test('a known length stays a length, an unknown one stays chunked', async () => {
  const known = await get((res) => res.writeHead(200, { 'content-length': 2 }).end('ok'));
  assert.equal(headerValue(known.headers, 'content-length'), '2');
  assert.equal(headerValue(known.headers, 'transfer-encoding'), undefined);
  const unknown = await get((res) => {
    res.writeHead(200).write('o');
    res.end('k');
  });
  assert.equal(headerValue(unknown.headers, 'content-length'), undefined);
  assert.equal(headerValue(unknown.headers, 'transfer-encoding'), 'chunked');
  assert.equal(unknown.body.toString(), 'ok');
});

test('an empty body', async () => {
  const response = await get((res) => res.writeHead(200, { 'content-length': 0 }).end());
  assert.deepEqual([response.status, response.body.length], [200, 0]);
});

test('HEAD: the head of the answer, its length and no body', async () => {
  const response = await get(
    raw('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1234\r\n\r\n'),
    'HEAD',
  );
  assert.equal(worker.last.method, 'HEAD');
  assert.deepEqual([response.status, headerValue(response.headers, 'content-length')], [200, '1234']);
});

for (const status of [204, 304]) {
  test(`${status}: no body, and the connection can be used again`, async () => {
    worker.answer = raw(`HTTP/1.1 ${status} X\r\nETag: "v1"\r\n\r\n`);
    await using client = await RawClient.connect(fleet.port);
    for (const path of ['/one', '/two']) {
      client.send(`GET ${path} HTTP/1.1\r\nHost: r\r\n\r\n`);
      const response = await client.response();
      assert.deepEqual([response.status, headerValue(response.headers, 'etag')], [status, '"v1"']);
      assert.equal(headerValue(response.headers, 'transfer-encoding'), undefined);
    }
  });
}

test('a redirect is the client’s to follow', async () => {
  const response = await get((res) => res.writeHead(307, { location: '/v1/elsewhere/' }).end());
  assert.deepEqual([response.status, headerValue(response.headers, 'location')], [307, '/v1/elsewhere/']);
});

test('interim answers of the worker do not stand for the final one', async () => {
  const response = await get((res) => {
    res.writeEarlyHints({ link: '</a>; rel=preload' });
    res.writeHead(200).end('final');
  });
  assert.deepEqual([response.status, response.body.toString()], [200, 'final']);
});

test('what the router says of itself cannot be said by a worker', async () => {
  const response = await get((res) => {
    res
      .writeHead(200, {
        'x-request-id': 'spoofed',
        'x-vllm-router-worker': 'spoofed',
        'x-vllm-router-hooks': 'spoofed',
        'server-timing': 'gpu;dur=1',
      })
      .end('ok');
  });
  assert.ok(!response.headers.some(([, value]) => value === 'spoofed'));
  assert.equal(headerValue(response.headers, 'x-vllm-router-worker'), worker.url);
  // Timings of both have their place.
  const timings = response.headers
    .filter(([name]) => name === 'server-timing')
    .map(([, value]) => value.split(';')[0]);
  assert.deepEqual(timings, ['gpu', 'router']);
});

test('an event stream asks proxies in front not to hold it back, unless the worker has said so itself', async () => {
  const plain = await get((res) =>
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: [DONE]\n\n'),
  );
  assert.equal(headerValue(plain.headers, 'x-accel-buffering'), 'no');
  const own = await get((res) =>
    res
      .writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'yes' })
      .end('data: [DONE]\n\n'),
  );
  assert.deepEqual(
    own.headers.filter(([name]) => name === 'x-accel-buffering').map(([, value]) => value),
    ['yes'],
  );
});
