/** What the router does not know it passes on all the same: any method, any body, streamed both ways. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { ask, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

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

/** Every value a byte can have, in an order that no pattern fits. */
function binary(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7) & 0xff));
}

for (const method of [
  'GET',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'PROPFIND',
  'REPORT',
  'PURGE',
  'QUERY',
]) {
  test(`${method} without and with a body`, async () => {
    for (const body of ['', 'some bytes']) {
      const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`;
      const response = await ask(
        fleet.port,
        `${method} /new/thing HTTP/1.1\r\nHost: r\r\n${length}\r\n${body}`,
      );
      assert.equal(response.status, 200);
      assert.deepEqual(
        [worker.last.method, worker.last.url, worker.last.body.toString()],
        [method, '/new/thing', body],
      );
    }
  });
}

test('binary bodies, small and large, with a length', async () => {
  for (const size of [0, 1, 65_536, 1_048_576, 1_048_577, 5_000_000]) {
    const body = binary(size);
    const id = `binary ${size}`;
    const response = await fetch(`${fleet.url}/upload`, {
      method: 'PUT',
      body,
      headers: { 'x-request-id': id },
    });
    assert.equal(response.status, 200);
    assert.ok(worker.last.body.equals(body), `${size} bytes`);
    assert.equal(worker.last.headers['content-length'], String(size));
    assert.equal((await fleet.decision(({ request_id: found }) => found === id)).request_bytes, size);
  }
});

test('multipart uploads keep their boundary and their bytes', async () => {
  const form = new FormData();
  form.set('model', 'whisper');
  form.set('file', new Blob([binary(200_000)]), 'speech.wav');
  const encoded = new Request('http://x', { method: 'POST', body: form });
  const type = encoded.headers.get('content-type') ?? '';
  const body = Buffer.from(await encoded.arrayBuffer());
  const response = await fetch(`${fleet.url}/v1/audio/transcriptions`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
  });
  assert.equal(response.status, 200);
  assert.equal(worker.last.headers['content-type'], type);
  assert.ok(worker.last.body.equals(body));
});

/** Starts a worker that is handed the open request, and the client's side of it. */
async function openUpload() {
  const { promise, resolve } = Promise.withResolvers<{
    request: IncomingMessage;
    response: ServerResponse;
  }>();
  const worker = await startScriptedWorker(undefined, {
    onHead: (request, response) => resolve({ request, response }),
  });
  const fleet = await startRouter([worker]);
  const client = await RawClient.connect(fleet.port);
  client.send('POST /stream HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n');
  return {
    fleet,
    client,
    head: promise,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await fleet[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

test('a chunked upload reaches the worker piece by piece, and the answer comes back the same way', async () => {
  await using upload = await openUpload();
  const { client } = upload;
  client.send('5\r\nhello\r\n');
  const { request, response } = await upload.head;
  assert.equal(request.headers['transfer-encoding'], 'chunked');
  assert.equal(await nextChunk(request), 'hello');
  // The worker answers while the client is still sending.
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.write('one');
  await client.seen(/^HTTP\/1\.1 200 [^]*one/);
  client.send('5\r\nworld\r\n');
  assert.equal(await nextChunk(request), 'world');
  response.write('two');
  await client.seen(/two/);
  client.send('0\r\n\r\n');
  await once(request.resume(), 'end');
  response.end('three');
  assert.equal((await client.response()).body.toString(), 'onetwothree');
});

async function nextChunk(request: IncomingMessage): Promise<string> {
  const [chunk] = (await once(request.resume(), 'data')) as [Buffer];
  request.pause();
  return chunk.toString();
}
