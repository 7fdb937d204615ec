/** A WebSocket handshake gives everything back when its client leaves, like any other request, and its socket ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { eventually, type Fleet } from '../support/fleet.ts';
import { RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const ACCEPTED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

function handshake(path = '/v1/realtime', ...more: readonly string[]): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Host: router',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...more,
    '',
    '',
  ].join('\r\n');
}

/** A worker that leaves handshakes to the test. */
async function startWorker() {
  const upgrades: Duplex[] = [];
  let wake = (): void => undefined;
  const worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      upgrades.push(socket);
      wake();
    },
  });
  return {
    worker,
    upgrades,
    async asked(count: number): Promise<Duplex> {
      while (upgrades.length < count) await new Promise<void>((resolve) => (wake = resolve));
      const socket = upgrades[count - 1];
      assert.ok(socket);
      return socket;
    },
    [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
  };
}

const KEY = { authorization: 'Authorization: Bearer sk-one' };
const TENANTS = { apiKeys: [{ name: 'one', key: 'sk-one', max_concurrent: 2 }] } as const;

function tenantPlaces({ app }: Fleet): number {
  return [...app.runtime.clients.tenants.all()].reduce((sum, { inFlight }) => sum + inFlight, 0);
}

const LEAVE = {
  FIN: (socket: Socket) => socket.end(),
  RST: (socket: Socket) => socket.resetAndDestroy(),
} as const;

for (const how of ['FIN', 'RST'] as const) {
  for (const early of ['', 'x'.repeat(1000)]) {
    const after = early === '' ? '' : ', after it has spoken too early';
    test(`a client that leaves by ${how} before its handshake is answered gives everything back${after}`, async () => {
      await using server = await startWorker();
      await using fleet = await startRouter([server.worker], { router: TENANTS });
      await using client = await RawClient.connect(fleet.port);
      client.send(handshake('/v1/realtime', KEY.authorization) + early);
      const workerEnd = await server.asked(1);
      assert.equal(tenantPlaces(fleet), 1);
      const cut = once(workerEnd.resume(), 'close');
      LEAVE[how](client.socket);
      workerEnd.on('end', () => workerEnd.end());
      await cut;
      const decision = await fleet.decision();
      assert.deepEqual(
        [decision.status, decision.outcome, decision.error],
        [499, 'client_abort', 'client_closed'],
      );
      const { ledger, admission } = fleet.app.runtime;
      assert.deepEqual([ledger.openLeases, admission.inFlight, tenantPlaces(fleet)], [0, 0, 0]);
    });
  }

  test(`a handshake in the queue leaves it when its client leaves by ${how}`, async () => {
    await using server = await startWorker();
    await using fleet = await startRouter([server.worker], {
      router: { ...TENANTS, maxConcurrentRequests: 1 },
    });
    const { admission } = fleet.app.runtime;
    await using first = await RawClient.connect(fleet.port);
    first.send(handshake('/v1/realtime', KEY.authorization));
    await server.asked(1);
    await using second = await RawClient.connect(fleet.port);
    second.send(handshake('/v1/realtime', KEY.authorization));
    await eventually(() => admission.queued === 1);
    assert.equal(tenantPlaces(fleet), 2);
    LEAVE[how](second.socket);
    await eventually(() => admission.queued === 0);
    assert.equal((await fleet.decision()).outcome, 'client_abort');
    assert.deepEqual([tenantPlaces(fleet), server.upgrades.length], [1, 1]);
  });
}

test('who says more than a little before the handshake is answered is cut off', async () => {
  await using server = await startWorker();
  await using fleet = await startRouter([server.worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(handshake());
  const workerEnd = await server.asked(1);
  const cut = once(workerEnd.resume(), 'close');
  workerEnd.on('end', () => workerEnd.end());
  client.send('x'.repeat(200_000));
  await cut;
  assert.equal((await fleet.decision()).outcome, 'client_abort');
});

test('what is said before the handshake is answered reaches the worker in order', async () => {
  await using server = await startWorker();
  await using fleet = await startRouter([server.worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send(`${handshake()}one `);
  const workerEnd = await server.asked(1);
  client.send('two ');
  // The worker's answer comes after the router has read what was sent.
  await new Promise((resolve) => setImmediate(resolve));
  workerEnd.write(ACCEPTED);
  await client.response({ interim: true });
  client.send('three');
  let got = '';
  for await (const part of workerEnd) if ((got += String(part)).length >= 13) break;
  assert.equal(got, 'one two three');
});

/** A client that never ends its side by itself. */
async function stubborn(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

test('after an answer that is not 101 the client’s connection ends, whether or not the client ends its side', async () => {
  await using server = await startScriptedWorker((response) => {
    response.writeHead(403, { 'content-length': '4' }).end('nope');
  });
  await using fleet = await startRouter([server]);
  const idles: Socket[] = [];
  const answers = [
    ['/v1/realtime', 403], // the worker's
    ['/metrics', 404], // the router's refusal
    ['/liveness', 200], // what the router knows itself
  ] as const;
  await Promise.all(
    answers.map(async ([path, status]) => {
      const [quiet, idle] = [await stubborn(fleet.port), await stubborn(fleet.port)];
      for (const socket of [quiet, idle]) socket.write(handshake(path));
      const [answer] = (await once(quiet, 'data')) as [Buffer];
      assert.match(answer.toString(), new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\nconnection: close\r\n`, 'i'));
      await Promise.all([once(quiet, 'end'), once(idle.resume(), 'end')]);
      // Both are half-open now. One ends its side, and is let go at once; the other never does, and is cut after a while.
      quiet.end();
      await once(quiet, 'close');
      idles.push(idle);
    }),
  );
  const { seats } = fleet.app.runtime;
  await eventually(() => seats.taken === 0);
  for (const idle of idles) idle.destroy();
});

test('a refusal longer than any buffer reaches a slow client whole', async () => {
  const body = Buffer.alloc(4 * 1024 * 1024, 'no ');
  await using server = await startScriptedWorker((response) => {
    response.writeHead(403, { 'content-length': body.length }).end(body);
  });
  await using fleet = await startRouter([server]);
  await using client = await RawClient.connect(fleet.port);
  client.socket.pause();
  client.send(handshake());
  await eventually(() => server.received.length === 1);
  client.socket.resume();
  const answer = await client.response();
  assert.ok(answer.body.equals(body));
  assert.equal((await client.ended()).how, 'closed');
});

for (const [who, other] of [
  ['client', 'worker'],
  ['worker', 'client'],
] as const) {
  test(`a tunnel whose ${who} has ended its side does not wait for ever for the ${other}`, async () => {
    await using server = await startWorker();
    const clock = new VirtualClock();
    await using fleet = await startRouter([server.worker], { clock, router: TENANTS });
    const client = await stubborn(fleet.port);
    client.write(handshake('/v1/realtime', KEY.authorization));
    const workerEnd = await server.asked(1);
    workerEnd.write(ACCEPTED);
    await once(client, 'data');
    const { ledger, admission } = fleet.app.runtime;
    assert.deepEqual([ledger.openLeases, admission.inFlight, tenantPlaces(fleet)], [1, 1, 1]);
    const [ending, staying] = who === 'client' ? [client, workerEnd] : [workerEnd, client];
    const heard = once(staying.resume(), 'end');
    ending.end();
    await heard;
    const closed = Promise.all([once(client, 'close'), once(workerEnd.resume(), 'close')]);
    client.resume();
    clock.advance(6_000);
    staying.end();
    await closed;
    await eventually(() => ledger.openLeases === 0);
    assert.deepEqual([admission.inFlight, tenantPlaces(fleet)], [0, 0]);
  });
}

test('a client that leaves in the moment the worker agrees leaves nothing behind', async () => {
  await using server = await startWorker();
  await using fleet = await startRouter([server.worker]);
  const closed: Promise<unknown>[] = [];
  for (let turn = 1; turn <= 20; turn += 1) {
    await using client = await RawClient.connect(fleet.port);
    client.send(handshake());
    const workerEnd = await server.asked(turn);
    workerEnd.on('end', () => workerEnd.end());
    closed.push(new Promise((resolve) => workerEnd.resume().once('close', resolve)));
    workerEnd.write(ACCEPTED);
    LEAVE[turn % 2 === 0 ? 'FIN' : 'RST'](client.socket);
  }
  await Promise.all(closed);
  await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
});
