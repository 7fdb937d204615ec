/** What the client sends is what the worker gets: body, query, headers, byte for byte. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Fleet } from '../support/fleet.ts';
import { ask, RawClient } from '../support/raw-client.ts';
import {
  startRouter,
  startScriptedWorker,
  valuesOf,
  type ScriptedWorker,
} from '../support/scripted-worker.ts';

fc.configureGlobal({ seed: 7 });

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

/** Sends the bytes as the body of a POST; returns the status. */
async function post(path: string, body: Buffer | string): Promise<number> {
  const response = await fetch(fleet.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(body),
  });
  await response.arrayBuffer();
  return response.status;
}

const CHAT = '/v1/chat/completions';

for (const [what, body] of Object.entries({
  'integers beyond 2^53': '{"seed":12345678901234567890,"model":"sim-model","messages":[]}',
  'numbers in unusual notation': '{"temperature":1.0,"top_p":1E-2,"n":-0,"model":"sim-model"}',
  'odd white space': ' \r\n{ "model"\t:"sim-model" ,\n\n "messages" : [ ] }\n',
  'members in any order, unknown ones too': '{"zzz":{"a":null},"messages":[],"aaa":[[]],"model":"sim-model"}',
  'duplicate keys': '{"model":"other","model":"sim-model","stream":true,"stream":false}',
  'escaped and raw unicode':
    '{"model":"sim-model","messages":[{"role":"user","content":"\\u00e9é😀\\ud83d\\ude00\\u2028"}]}',
  'a lone surrogate': '{"model":"sim-model","prompt":"\\ud800"}',
  'escaped key characters': '{"m\\u006fdel":"sim-model","messages":[]}',
  'a prototype as a key': '{"__proto__":{"model":"x"},"constructor":1,"model":"sim-model"}',
  'a byte order mark': '\ufeff{"model":"sim-model"}',
})) {
  test(`a body with ${what}`, async () => {
    assert.equal(await post(CHAT, body), 200);
    assert.deepEqual(worker.last.body, Buffer.from(body));
    assert.deepEqual(valuesOf(worker.last.rawHeaders, 'content-length'), [String(Buffer.byteLength(body))]);
  });
}

test('a body with bytes that are not UTF-8', async () => {
  const body = Buffer.concat([
    Buffer.from('{"model":"sim-model","prompt":"'),
    Buffer.of(0xff, 0xc3, 0x28),
    Buffer.from('"}'),
  ]);
  assert.equal(await post('/v1/completions', body), 200);
  assert.deepEqual(worker.last.body, body);
});

test('any JSON object, however it is written', async () => {
  const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { maxKeys: 5 });
  await fc.assert(
    fc.asyncProperty(objects, fc.nat(4), async (value, indent) => {
      const body = Buffer.from(JSON.stringify(value, undefined, indent));
      assert.equal(await post(CHAT, body), 200);
      assert.deepEqual(worker.last.body, body);
    }),
    { numRuns: 40 },
  );
});

for (const target of [
  '/v1/chat/completions?a=1&a=2&b=%20+%2B&c=é&&=&d',
  '/v1/chat/completions?',
  '/unknown/%7Euser/a%2Fb;x=1/?q=%00',
  '/files//a/./b?path=../c',
]) {
  test(`path and query string as they are: ${target}`, async () => {
    const encoded = target.replaceAll('é', '%C3%A9');
    const response = await ask(
      fleet.port,
      `POST ${encoded} HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r\n{}`,
    );
    assert.equal(response.status, 200);
    assert.equal(worker.last.url, encoded);
  });
}

test('a client that takes the router for a forward proxy', async () => {
  const response = await ask(
    fleet.port,
    'GET http://example.com:81/some/path?x=1 HTTP/1.1\r\nHost: example.com:81\r\n\r\n',
  );
  assert.equal(response.status, 200);
  assert.equal(worker.last.url, '/some/path?x=1');
});

/** The end-to-end headers that a GET with these lines reaches the worker with. */
async function headersAfter(lines: readonly string[]): Promise<string[]> {
  const response = await ask(
    fleet.port,
    `GET /headers HTTP/1.1\r\nHost: router\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`,
  );
  assert.equal(response.status, 200);
  const kept: string[] = [];
  const { rawHeaders } = worker.last;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    // What the connection to the worker needs for itself, and how its answer is to be encoded.
    if (!['host', 'connection', 'x-request-id', 'accept-encoding'].includes(name))
      kept.push(`${name}: ${rawHeaders[i + 1] ?? ''}`);
  }
  return kept;
}

test('headers keep their order, their case and their duplicates', async () => {
  const lines = [
    'X-B: 2',
    'accept: text/plain',
    'x-A: 1',
    'Accept: */*',
    'X-b: 3',
    'Cookie: a=1',
    'cookie: b=2',
    'X-Empty: ',
    'User-Agent: My  Agent/1.0 (x; y)',
  ];
  assert.deepEqual(await headersAfter(lines), lines);
});

test('header values with bytes outside of ASCII', async () => {
  assert.deepEqual(await headersAfter(['x-name: caf\xe9 \xc3\xa9 \xff']), ['x-name: caf\xe9 \xc3\xa9 \xff']);
});

test('trace context, forwarding and content headers pass', async () => {
  const lines = [
    'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'tracestate: a=1',
    'baggage: k=v',
    'x-forwarded-for: 10.0.0.1',
    'Forwarded: for=10.0.0.1',
    'Range: bytes=0-1',
    'If-None-Match: "x"',
  ];
  assert.deepEqual(await headersAfter(lines), lines);
});

test('hop-by-hop headers and those that Connection names do not', async () => {
  const lines = [
    'Connection: keep-alive, X-Hop ,x-other',
    'X-Hop: 1',
    'X-Other: 2',
    'Keep-Alive: timeout=5',
    'TE: trailers',
    'Proxy-Authorization: Basic x',
    'Proxy-Connection: keep-alive',
    'Trailer: x',
    'Upgrade: h2c',
    'HTTP2-Settings: AAA',
    'X-Kept: 3',
  ];
  assert.deepEqual(await headersAfter(lines), ['X-Kept: 3']);
});

test('Host is the worker’s own', async () => {
  await headersAfter([]);
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'host'), [new URL(worker.url).host]);
});

test('thousands of small headers', async () => {
  const lines = Array.from({ length: 2_100 }, (_, index) => `x-${index}: ${index}`);
  assert.deepEqual(await headersAfter(lines), lines);
});

test('a compressed body of a route that the router does not read', async () => {
  const body = gzipSync('{"some":"thing"}');
  const response = await fetch(`${fleet.url}/ingest`, {
    method: 'PUT',
    headers: { 'content-encoding': 'gzip' },
    body,
  });
  assert.equal(response.status, 200);
  assert.deepEqual(worker.last.body, body);
  assert.deepEqual(valuesOf(worker.last.rawHeaders, 'content-encoding'), ['gzip']);
});

test('several requests at once on one connection are answered in their order', async () => {
  const requests = [1, 2, 3].map(
    (n) => `GET /pipelined/${n} HTTP/1.1\r\nHost: r\r\nX-Request-Id: id-${n}\r\n\r\n`,
  );
  worker.answer = (response, { url }) => response.end(url);
  await using client = await RawClient.connect(fleet.port);
  client.send(requests.join(''));
  for (const n of [1, 2, 3]) {
    const { body, headers } = await client.response();
    assert.equal(body.toString(), `/pipelined/${n}`);
    assert.ok(headers.some(([name, value]) => name === 'x-request-id' && value === `id-${n}`));
  }
});
