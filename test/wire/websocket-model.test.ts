/** A WebSocket names its model in its address, and may bring its key among its subprotocols. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, valuesOf } from '../support/scripted-worker.ts';

/** Workers that agree to every handshake, and take the first subprotocol that they know. */
async function start(models: readonly (readonly string[])[], router: object = {}, knows = ['realtime']) {
  const upgrades: { worker: number; request: IncomingMessage; socket: Duplex }[] = [];
  const workers = await Promise.all(
    models.map((listed, worker) =>
      startScriptedWorker(undefined, {
        models: listed,
        onUpgrade: (request, socket) => {
          upgrades.push({ worker, request, socket });
          const offered = (request.headers['sec-websocket-protocol'] ?? '').split(/, */);
          const chosen = offered.find((one) => knows.includes(one));
          const protocol = chosen === undefined ? '' : `Sec-WebSocket-Protocol: ${chosen}\r\n`;
          socket.write(
            `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${protocol}\r\n`,
          );
          socket.on('end', () => socket.end());
        },
      }),
    ),
  );
  const fleet = await startRouter(workers, { router });
  return {
    fleet,
    upgrades,
    /** One handshake; its connection is closed again. */
    async shake(target: string, ...headers: readonly string[]): Promise<RawResponse> {
      await using client = await RawClient.connect(fleet.port);
      const lines = ['Host: r', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
      const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
      client.send([`GET ${target} HTTP/1.1`, ...lines, key, ...headers, '', ''].join('\r\n'));
      return await client.response({ interim: true });
    },
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
    },
  };
}

function codeOf({ body }: RawResponse): unknown {
  return (JSON.parse(body.toString()) as { error?: { code?: string } }).error?.code;
}

const TWO = [['small'], ['org/large model']] as const;

for (const path of ['/v1/realtime', '/v1/audio/stream', '/anything/else']) {
  test(`${path}: the worker that lists the model gets the tunnel, and the query as it was`, async () => {
    await using fleet = await start(TWO);
    for (const [query, worker] of [
      ['model=small', 0],
      ['intent=x&model=org%2Flarge+model&b=%zz', 1],
      ['mod%65l=org/large%20model', 1],
    ] as const) {
      for (let turn = 0; turn < 3; turn += 1) {
        assert.equal((await fleet.shake(`${path}?${query}`)).status, 101);
        const last = fleet.upgrades.at(-1);
        assert.deepEqual([last?.worker, last?.request.url], [worker, `${path}?${query}`]);
      }
    }
    const decision = await fleet.fleet.decision();
    assert.deepEqual([decision.requested_model, decision.model], ['org/large model', 'org/large model']);
  });
}

test('a model rule puts the other name into the query, and changes no other byte of it', async () => {
  await using fleet = await start(TWO, { modelRules: [{ match: 'big', rewrite: 'org/large model' }] });
  assert.equal((await fleet.shake('/v1/realtime?a=%41+&model=big&&b=big')).status, 101);
  const [{ worker, request } = assert.fail()] = fleet.upgrades;
  assert.deepEqual([worker, request.url], [1, '/v1/realtime?a=%41+&model=org%2Flarge%20model&&b=big']);
  const decision = await fleet.fleet.decision();
  assert.deepEqual([decision.requested_model, decision.model], ['big', 'org/large model']);
});

test('tenants reach only the models they may use, by what is asked for and what it becomes', async () => {
  await using fleet = await start(TWO, {
    apiKeys: [
      { name: 'small', key: 'sk-small', allowedModels: ['small', 'big'] },
      { name: 'all', key: 'sk-all' },
    ],
    modelRules: [{ match: 'big', rewrite: 'org/large model' }],
  });
  const as = (name: string): string => `Authorization: Bearer sk-${name}`;
  for (const [target, name, expected] of [
    ['/v1/realtime?model=small', 'small', 101],
    ['/v1/realtime?model=big', 'all', 101],
    ['/v1/realtime', 'all', 101],
    ['/v1/realtime?model=org%2Flarge%20model', 'small', 'model_not_allowed'],
    ['/v1/realtime?model=big', 'small', 'model_not_allowed'],
    ['/v1/realtime', 'small', 'model_not_allowed'],
    ['/v1/realtime?model=', 'small', 'model_not_allowed'],
    // The worker may read either.
    ['/v1/realtime?model=small&model=org%2Flarge%20model', 'small', 'duplicate_field'],
    ['/v1/realtime?model=org%2Flarge%20model&mode%6c=small', 'small', 'duplicate_field'],
  ] as const) {
    const before = fleet.upgrades.length;
    const answer = await fleet.shake(target, as(name));
    assert.equal(answer.status === 101 ? 101 : codeOf(answer), expected, `${name} ${target}`);
    assert.equal(fleet.upgrades.length, before + (expected === 101 ? 1 : 0));
  }
});

test('a model that no worker lists is refused where that is configured', async () => {
  await using fleet = await start(TWO, { unknownModel: 'reject' });
  assert.equal(codeOf(await fleet.shake('/v1/realtime?model=smal')), 'model_not_found');
});

const KEYS = { apiKeys: [{ name: 'one', key: 'sk-one' }] } as const;

for (const [name, offered, seen, chosen] of [
  [
    'behind others',
    ['realtime, openai-insecure-api-key.sk-one, openai-beta.v1'],
    ['realtime, openai-beta.v1'],
    'realtime',
  ],
  ['before others', ['openai-insecure-api-key.sk-one,realtime'], ['realtime'], 'realtime'],
  ['in a header of its own', ['realtime', 'openai-insecure-api-key.sk-one'], ['realtime'], 'realtime'],
  ['alone', ['openai-insecure-api-key.sk-one'], [], 'openai-insecure-api-key.sk-one'],
  ['beside what the worker does not know', ['other, openai-insecure-api-key.sk-one'], ['other'], undefined],
] as const) {
  test(`a key among the subprotocols opens the router and goes no further: ${name}`, async () => {
    await using fleet = await start([['small']], KEYS);
    const headers = offered.map((value) => `Sec-WebSocket-Protocol: ${value}`);
    const answer = await fleet.shake('/v1/realtime?model=small', ...headers);
    assert.equal(answer.status, 101);
    assert.equal(headerValue(answer.headers, 'sec-websocket-protocol'), chosen);
    const [{ request } = assert.fail()] = fleet.upgrades;
    assert.deepEqual(valuesOf(request.rawHeaders, 'sec-websocket-protocol'), seen);
    assert.ok(!request.rawHeaders.join().includes('sk-one'));
    assert.equal((await fleet.fleet.decision()).tenant, 'one');
  });
}

test('a wrong key among the subprotocols is refused; of a request that is no handshake it is not read', async () => {
  await using fleet = await start([['small']], KEYS);
  const protocol = (key: string): string =>
    `Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.${key}`;
  assert.equal(codeOf(await fleet.shake('/v1/realtime', protocol('sk-two'))), 'invalid_api_key');
  assert.equal(codeOf(await fleet.shake('/v1/realtime', protocol(''))), 'missing_api_key');
  await using client = await RawClient.connect(fleet.fleet.port);
  client.send(`GET /v1/models HTTP/1.1\r\nHost: r\r\n${protocol('sk-one')}\r\n\r\n`);
  assert.equal((await client.response()).status, 401);
  assert.equal(fleet.upgrades.length, 0);
});

test('where the router checks no keys, the subprotocols reach the worker as they are', async () => {
  await using fleet = await start([['small']]);
  const value = 'realtime ,openai-insecure-api-key.sk-worker';
  assert.equal((await fleet.shake('/v1/realtime', `Sec-WebSocket-Protocol: ${value}`)).status, 101);
  const [{ request } = assert.fail()] = fleet.upgrades;
  assert.deepEqual(valuesOf(request.rawHeaders, 'sec-websocket-protocol'), [value]);
});
