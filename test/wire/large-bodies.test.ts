/** Bodies above 1 MiB are scanned rather than parsed; everything else about them is as usual. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workerOf } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const MIB = 1024 * 1024;

function post(fleet: Fleet, body: string | Buffer): Promise<Response> {
  return fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
}

/** A long conversation that begins in its own way. */
function conversation(name: string, turns: number): string {
  const messages = Array.from({ length: turns }, (_, turn) => ({
    role: turn % 2 === 0 ? 'user' : 'assistant',
    content: `${name} turn ${turn}: ${`${name}${turn} `.repeat(20_000)}`,
  }));
  return JSON.stringify({ model: 'sim-model', messages, max_tokens: 4, user: name });
}

test('a body below that of many small parts is scanned, too, and arrives as it is', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'alias', rewrite: 'sim-model' }] },
  });
  for (const messages of [
    `[${'[],'.repeat(200_000)}[]]`,
    `[${'{"a":1},'.repeat(80_000)}{}]`,
    `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
  ]) {
    const response = await post(
      fleet,
      `{"messages":${messages},"model":"alias","seed":12345678901234567890}`,
    );
    assert.equal(response.status, 200);
    assert.equal(
      worker.last.body.toString(),
      `{"messages":${messages},"model":"sim-model","seed":12345678901234567890}`,
    );
  }
});

test('bytes arrive as they are, however large and oddly written', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const body of [
    conversation('big', 20),
    ` {\n"seed" : 12345678901234567890 ,"model":"sim-model","messages":[{"role":"user","content":"${'\\"é\\u00e9 '.repeat(200_000)}"}] , "model" : "sim-model"}\n`,
    `\ufeff{"model":"sim-model","prompt":"${'x'.repeat(9 * MIB)}"}`,
  ]) {
    assert.ok(Buffer.byteLength(body) > MIB);
    const response = await post(fleet, body);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-vllm-router-model'), 'sim-model');
    assert.ok(worker.last.body.equals(Buffer.from(body)));
  }
});

test('the model is found wherever it stands, and decides', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a'] });
  await using second = await startScriptedWorker(undefined, { models: ['b'] });
  await using fleet = await startRouter([first, second], { router: { policy: 'round_robin' } });
  const filler = `"prompt":"${'x'.repeat(2 * MIB)}"`;
  for (let i = 0; i < 3; i += 1) {
    assert.equal(workerOf(await post(fleet, `{"model":"b",${filler}}`)), second.url);
    assert.equal(workerOf(await post(fleet, `{${filler},"m\\u006fdel":"a"}`)), first.url);
    // Inside of another member it is none.
    assert.equal(workerOf(await post(fleet, `{"metadata":{"model":"a"},${filler},"model":"b"}`)), second.url);
  }
});

test('thousands of small members are not made into values, and what decides is found behind them', async () => {
  await using first = await startScriptedWorker(undefined, { models: ['a'] });
  await using second = await startScriptedWorker(undefined, { models: ['b'] });
  await using fleet = await startRouter([first, second], { router: { policy: 'round_robin' } });
  const small = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
  const filler = Array.from({ length: 1_000 }, (_, index) => `"k${index}":${small}`).join();
  const parse = JSON.parse;
  let parsed = 0;
  JSON.parse = (text: string, ...rest: []): unknown => {
    parsed += text.length;
    return parse(text, ...rest);
  };
  try {
    assert.equal(workerOf(await post(fleet, `{${filler},"model":"b"}`)), second.url);
  } finally {
    JSON.parse = parse;
  }
  assert.ok(parsed < 2 * MIB, `${parsed} bytes were parsed`);
  const long = `{${filler},"model":[${'1,'.repeat(3_000)}1]}`;
  assert.equal((await post(fleet, long)).status, 200, 'not understood, and passed on');
});

test('stream is found too', async () => {
  await using worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: {}\n\ndata: [DONE]\n\n');
  });
  await using fleet = await startRouter([worker]);
  await (
    await post(fleet, `{"messages":[{"role":"user","content":"${'x'.repeat(2 * MIB)}"}],"stream":true}`)
  ).text();
  assert.equal((await fleet.decision()).stream, true);
});

for (const policy of ['cache_aware', 'least_work', 'consistent_hash', 'rendezvous_hash'] as const) {
  test(`${policy}: a conversation that grows stays with its worker`, async () => {
    await using fleet = await startFleet({
      ...{ workers: [{}, {}, {}, {}], router: { policy } },
      onlyRegular: 'of a pair it is the prefill worker who refuses a prompt of that length',
    });
    // The simulated workers refuse what is longer than their model takes: that is an answer too.
    const homes = new Map<string, string | null>();
    for (let turns = 11; turns <= 15; turns += 2) {
      for (const name of ['alpha', 'beta', 'gamma']) {
        const body = conversation(name, turns);
        assert.ok(body.length > MIB);
        const worker = workerOf(await post(fleet, body));
        if (homes.has(name)) assert.equal(worker, homes.get(name), `${name} ${turns}`);
        homes.set(name, worker);
      }
    }
    if (policy === 'cache_aware') {
      assert.equal(new Set(homes.values()).size, 3);
      const { reason, predicted_cached_tokens: cached } = await fleet.decision();
      assert.equal(reason, 'warmest');
      assert.ok((cached ?? 0) > 0);
    }
  });
}

test('a client that leaves while its long body is joined and scanned: the bytes are given back', async () => {
  await using worker = await startScriptedWorker(() => undefined);
  await using fleet = await startRouter([worker]);
  const { bodyBytes } = fleet.app.runtime;
  const body = `{"model":"sim-model","messages":[{"role":"user","content":"${'\\\\n'.repeat(6 * MIB)}"}]}`;
  const client = await RawClient.connect(fleet.port);
  client.send(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await eventually(() => bodyBytes.held === body.length);
  await client[Symbol.asyncDispose]();
  await eventually(() => bodyBytes.held === 0);
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});
