/** What is held costs what its bytes cost, however small the chunks that brought it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { CHAT } from '../support/chat.ts';
import { eventually, settledAt, type Fleet } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { memoryInUse } from '../support/memory.ts';
import { ask, RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';
import { ONE_THREAD, serve } from '../support/serve.ts';

const BYTES = 200_000;
/** Before, a byte in a chunk of its own took some 270. */
const MOST_MEMORY = 6 * BYTES;

function singly(text: string): Buffer {
  return Buffer.from(
    text.replace(/[^]/g, (byte) => `1\r\n${byte}\r\n`),
    'latin1',
  );
}

function head(path: string, more = ''): string {
  return `POST ${path} HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n${more}\r\n`;
}

/** Writes every byte as a chunk of its own. */
async function writeSingly(response: ServerResponse | undefined, text: string): Promise<void> {
  assert.ok(response);
  for (let at = 0; at < text.length; at += 1) {
    if (!response.write(text.charAt(at))) await once(response, 'drain');
  }
}

/** A JSON body that is not over yet. */
const JSON_TEXT = `{"model":"sim-model","max_tokens":2,"prompt":"${'x'.repeat(BYTES)}`;
const FORM_HEAD = 'Content-Type: multipart/form-data; boundary=b\r\n';
const FORM_TEXT = `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim-model\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n${'x'.repeat(BYTES)}`;

for (const [what, path, text, more] of [
  ['JSON', '/v1/completions', JSON_TEXT, ''],
  ['a form', '/v1/audio/transcriptions', FORM_TEXT, FORM_HEAD],
  ['the body of an admin route', '/workers', JSON_TEXT, 'X-Admin-Key: k\r\n'],
] as const) {
  test(`a body that is held: ${what}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker], { router: { adminApiKey: 'k', enableIgw: true } });
    const { bodyBytes } = fleet.app.runtime;
    await ask(fleet.port, `GET /workers HTTP/1.1\r\nHost: r\r\nX-Admin-Key: k\r\n\r\n`);
    await using client = await RawClient.connect(fleet.port);
    const sent = singly(text);
    const before = memoryInUse();
    client.send(head(path, more));
    client.send(sent);
    await eventually(() => bodyBytes.held === text.length);
    const cost = memoryInUse() - before;
    assert.ok(cost < MOST_MEMORY, `${cost} bytes of memory for ${text.length}`);
  });
}

test('the bytes are the same', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const [path, text, more] of [
    ['/v1/completions', `${JSON_TEXT}"}`, ''],
    ['/v1/audio/transcriptions', `${FORM_TEXT}\r\n--b--\r\n`, FORM_HEAD],
    ['/unknown', `${JSON_TEXT}"}`, ''],
  ] as const) {
    const response = await ask(
      fleet.port,
      Buffer.concat([Buffer.from(head(path, more)), singly(text), Buffer.from('0\r\n\r\n')]),
    );
    assert.equal(response.status, 200);
    assert.equal(worker.last.body.toString(), text);
  }
});

/** Connections on each of which as much of a body waits as is taken before anybody reads it. */
async function waiting(fleet: Fleet, count: number, request: string): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  for (let i = 0; i < count; i += 1) {
    const client = await RawClient.connect(fleet.port);
    clients.push(client);
    client.send(request);
    // A segment for each byte, so that each is read by itself.
    for (let at = 0; at < 3_000; at += 1) client.send('1\r\nx\r\n');
    client.send(singly('x'.repeat(100_000)));
  }
  await settledAt(() => clients.reduce((sum, { socket }) => sum + socket.bytesWritten, 0));
  return clients;
}

const BESIDE = 10;

test('bodies that wait for a key to be checked, for their turn, for a worker that does not read', async () => {
  const heads: ServerResponse[] = [];
  await using worker = await startScriptedWorker(undefined, {
    onHead: (_, response) => heads.push(response),
  });
  await using keys = await startHook(() => undefined);
  await using guarded = await startRouter([worker], {
    router: { apiKeyValidationUrls: [keys.url], maxConcurrentRequests: 100 },
  });
  await using fleet = await startRouter([worker], {
    router: { maxConcurrentRequests: 2, queueSize: 100, maxPayloadSize: 10_000_000 },
  });
  for (const [router, path, more, are] of [
    [guarded, '/v1/completions', 'Authorization: Bearer k\r\n', () => keys.calls.length > 0],
    [fleet, '/unknown', '', () => fleet.app.runtime.admission.queued === BESIDE - 2 && heads.length === 2],
  ] as const) {
    await (await fetch(`${router.url}/liveness`)).text();
    const before = memoryInUse();
    const clients = await waiting(router, BESIDE, head(path, more));
    await eventually(are);
    const cost = memoryInUse() - before;
    // What the sockets of the test hold is in there, too.
    assert.ok(cost < BESIDE * 3_000_000, `${path}: ${cost} bytes of memory`);
    for (const client of clients) await client[Symbol.asyncDispose]();
  }
});

test('the answer of a hook', async () => {
  const answers: ServerResponse[] = [];
  await using hook = await startHook((_, response) => {
    answers.push(response);
    return undefined;
  });
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: {
      preRoutingHooks: [{ name: 'h', url: hook.url, timeoutMs: 20_000, maxResponseBytes: 1_000_000 }],
    },
  });
  const { bodyBytes } = fleet.app.runtime;
  const asked = fetch(`${fleet.url}/v1/completions`, { method: 'POST', body: '{"model":"sim-model"}' });
  await eventually(() => answers.length === 1);
  const before = memoryInUse();
  const text = JSON.stringify({ action: 'allow', note: 'x'.repeat(BYTES) });
  await writeSingly(answers[0], text.slice(0, -1));
  await eventually(() => bodyBytes.held > BYTES);
  const cost = memoryInUse() - before;
  assert.ok(cost < MOST_MEMORY, `${cost} bytes of memory`);
  answers[0]?.end('}');
  assert.equal((await asked).status, 200);
});

test('an event that is to be changed', async () => {
  const answers: ServerResponse[] = [];
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n');
    answers.push(response);
  });
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'alias', rewrite: 'sim-model' }], responseModel: 'requested' },
  });
  const body = JSON.stringify({ ...CHAT, model: 'alias', stream: true });
  await using client = await RawClient.connect(fleet.port);
  client.send(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await client.seen(/data: \{\}\n\n/);
  const event = `data: {"model":"sim-model","text":"${'x'.repeat(BYTES)}"}\n\n`;
  const before = memoryInUse();
  await writeSingly(answers[0], event.slice(0, -1));
  await settledAt(() => answers[0]?.socket?.bytesWritten ?? 0);
  const cost = memoryInUse() - before;
  assert.ok(cost < MOST_MEMORY, `${cost} bytes of memory`);
  answers[0]?.end('\n');
  const response = await client.response();
  assert.equal(response.body.toString(), `data: {}\n\n${event.replace('sim-model', 'alias')}`);
});

test('two bodies of 800 kB do not end a process with 96 MB of heap', async (t) => {
  await using worker = await startScriptedWorker();
  const { port, program } = await serve(
    t,
    [...ONE_THREAD, '--worker-urls', worker.url],
    ['--max-old-space-size=96'],
  );
  const text = `${JSON_TEXT}${'x'.repeat(800_000 - BYTES)}"}`;
  const sent = Buffer.concat([Buffer.from(head('/v1/completions')), singly(text), Buffer.from('0\r\n\r\n')]);
  const clients = [await RawClient.connect(port), await RawClient.connect(port)];
  for (const client of clients) client.send(sent);
  for (const client of clients) {
    assert.equal((await client.response()).status, 200);
    await client[Symbol.asyncDispose]();
  }
  assert.deepEqual(
    worker.received.filter(({ method }) => method === 'POST').map(({ body }) => body.length),
    [text.length, text.length],
  );
  assert.equal(program.child.exitCode, null);
});
