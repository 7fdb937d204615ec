/** Room for two connections of clients, and two to others: what is idle makes room, what cannot be had is nobody's fault. */
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { eventually, type Fleet } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { RawClient } from '../support/raw-client.ts';
import { answerJson, startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const FEW = {
  descriptors: { openFiles: 70, perSide: 2, outbound: 2, standing: 16, scrapes: 8 },
} as const;
const BODY = '{"model":"sim-model","prompt":"hello"}';

function request(key = 'good-1'): string {
  return `POST /v1/completions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
}

function codeOf(body: Buffer): unknown {
  return (JSON.parse(body.toString()) as { error?: { code?: string } }).error?.code;
}

function shortages({ app }: Fleet, side: string): number {
  return app.runtime.metrics.socketShortagesTotal.with(side).value;
}

/** A worker that holds requests until it is told to go on. */
async function startHolding() {
  const held: ServerResponse[] = [];
  let holding = true;
  const worker = await startScriptedWorker((response) => {
    if (holding) held.push(response);
    else answerJson(response);
  });
  return {
    worker,
    held,
    release() {
      holding = false;
      for (const response of held.splice(0)) answerJson(response);
    },
    [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
  };
}

test('more workers than connections to them: an idle one makes room, and every request is served', async () => {
  await using one = await startScriptedWorker();
  await using two = await startScriptedWorker();
  await using three = await startScriptedWorker();
  await using fleet = await startRouter([one, two, three], { ...FEW, router: { policy: 'round_robin' } });
  await using client = await RawClient.connect(fleet.port);
  for (let turn = 0; turn < 9; turn += 1) {
    client.send(request());
    assert.equal((await client.response()).status, 200);
  }
  assert.deepEqual(
    [one, two, three].map(({ received }) => received.length),
    [3, 3, 3],
  );
  await eventually(() => fleet.app.runtime.sockets.open <= 2);
  assert.equal(shortages(fleet, 'worker'), 0);
});

test('more clients than seats: one that is idle makes room', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], FEW);
  const clients = [await RawClient.connect(fleet.port), await RawClient.connect(fleet.port)];
  for (const client of clients) {
    client.send(request());
    assert.equal((await client.response()).status, 200);
  }
  await using third = await RawClient.connect(fleet.port);
  third.send(request());
  assert.equal((await third.response()).status, 200);
  assert.equal((await clients[0]?.ended())?.how, 'closed');
  assert.equal(clients[1]?.socket.readableEnded, false);
  await clients[1]?.[Symbol.asyncDispose]();
});

test('who stands is refused what needs a worker, is told the rest, and takes the first seat that is free', async () => {
  await using server = await startHolding();
  await using fleet = await startRouter([server.worker], FEW);
  const seated = [await RawClient.connect(fleet.port), await RawClient.connect(fleet.port)];
  for (const client of seated) client.send(request());
  await eventually(() => server.held.length === 2);
  for (const [path, status] of [
    ['/readiness', 200],
    ['/v1/models', 200],
    ['/workers', 200],
    ['/admin/stats', 200],
    ['/v1/files', 503],
  ] as const) {
    await using standing = await RawClient.connect(fleet.port);
    standing.send(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    const answer = await standing.response();
    assert.equal(answer.status, status, path);
    if (status === 503) {
      assert.equal(codeOf(answer.body), 'out_of_sockets');
      assert.equal((await standing.ended()).how, 'closed');
    }
  }
  await using patient = await RawClient.connect(fleet.port);
  patient.send('GET /readiness HTTP/1.1\r\nHost: r\r\n\r\n');
  await patient.response();
  server.release();
  for (const client of seated) {
    await client.response();
    await client[Symbol.asyncDispose]();
  }
  await eventually(() => fleet.app.runtime.seats.taken === 0);
  patient.send(request());
  assert.equal((await patient.response()).status, 200);
});

test('a handshake without a seat is refused, an open tunnel is not closed for somebody else', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onUpgrade: (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      socket.on('end', () => socket.end());
    },
  });
  await using fleet = await startRouter([worker], FEW);
  const handshake =
    'GET /v1/realtime HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  const tunnels = [await RawClient.connect(fleet.port), await RawClient.connect(fleet.port)];
  for (const client of tunnels) {
    // Something was answered on it before, as on a connection that is idle.
    client.send('GET /readiness HTTP/1.1\r\nHost: r\r\n\r\n');
    await client.response();
    client.send(handshake);
    assert.equal((await client.response({ interim: true })).status, 101);
  }
  await using third = await RawClient.connect(fleet.port);
  third.send(handshake);
  const refused = await third.response();
  assert.deepEqual([refused.status, codeOf(refused.body)], [503, 'out_of_sockets']);
  for (const client of tunnels) {
    assert.equal(client.socket.readableEnded, false);
    await client[Symbol.asyncDispose]();
  }
});

/** Two requests at the worker hold all connections; a third comes behind the first, on the same connection. */
async function thirdRequest(fleet: Fleet, server: Awaited<ReturnType<typeof startHolding>>) {
  await using client = await RawClient.connect(fleet.port);
  await using other = await RawClient.connect(fleet.port);
  client.send(request('good-1'));
  other.send(request('good-2'));
  await eventually(() => server.held.length === 2);
  client.send(request('good-3'));
  await eventually(() => shortages(fleet, 'worker') > 0);
  server.release();
  assert.equal((await client.response()).status, 200);
  const { status, body } = await client.response();
  assert.equal((await other.response()).status, 200);
  // With connections to be had, the same is served.
  other.send(request('good-4'));
  assert.equal((await other.response()).status, 200);
  return [status, codeOf(body)];
}

for (const [onError, expected] of [
  ['block', [503, 'out_of_sockets']],
  ['pass', [200, undefined]],
] as const) {
  test(`a hook that cannot be asked for want of sockets is not blamed for it (on_error: ${onError})`, async () => {
    await using hook = await startHook();
    await using server = await startHolding();
    await using fleet = await startRouter([server.worker], {
      ...FEW,
      router: {
        preRoutingHooks: [
          { name: 'check', url: hook.url, on_error: onError, circuit_breaker: { failure_threshold: 1 } },
        ],
      },
    });
    assert.deepEqual(await thirdRequest(fleet, server), expected);
    assert.equal(hook.calls.length, 3);
  });
}

test('a key that cannot be asked about for want of sockets is refused for that, and nothing is remembered', async () => {
  const service = createServer((_request, response) => response.writeHead(200).end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => service.once('listening', resolve));
  await using server = await startHolding();
  await using fleet = await startRouter([server.worker], {
    ...FEW,
    router: { apiKeyValidationUrls: [`http://127.0.0.1:${(service.address() as AddressInfo).port}/`] },
  });
  assert.deepEqual(await thirdRequest(fleet, server), [503, 'out_of_sockets']);
  service.close();
  service.closeAllConnections();
});
