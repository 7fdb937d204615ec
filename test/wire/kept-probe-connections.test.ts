/** What the router asks its workers by itself, on a connection that is kept for it: cheap, and never in anybody's way. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { DEFAULT_TRAITS, type WorkerSpec } from '../../src/config/settings/settings.ts';
import { collect, type Collected } from '../../src/engines/collect.ts';
import { HttpWorkerClient } from '../../src/engines/http/http-client.ts';
import { OutboundSockets } from '../../src/engines/http/outbound-sockets.ts';
import { probeWorker } from '../../src/engines/http/probe.ts';
import { eventually } from '../support/fleet.ts';

const HOUR_MS = 3_600_000;
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}';

interface Worker {
  readonly url: string;
  /** Those that are open, oldest first. */
  readonly open: Socket[];
  accepted: number;
  stop(): Promise<void>;
}

/** Answers everything; keeps connections until told otherwise. */
async function startWorker(t: TestContext): Promise<Worker> {
  const server = createServer((socket) => {
    worker.accepted += 1;
    worker.open.push(socket);
    socket.on('data', () => socket.write(ANSWER));
    socket.on('error', () => undefined);
    socket.on('close', () => worker.open.splice(worker.open.indexOf(socket), 1));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP listener has a port.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of worker.open) socket.destroy();
    await closed;
  };
  const worker: Worker = { url, open: [], accepted: 0, stop };
  t.after(() => server.listening && stop());
  return worker;
}

/** Time passes only when it is said so, but for what the sockets take. */
function clientOf(t: TestContext, { url }: Worker, sockets = new OutboundSockets()) {
  const clock = new VirtualClock();
  const client = new HttpWorkerClient(
    { baseUrl: url },
    { connectMs: HOUR_MS, maxHeaderSize: 16_384 },
    { clock, sockets },
  );
  t.after(() => {
    client.close();
  });
  const ask = (reserved: boolean): Promise<Collected> =>
    collect(
      client,
      { method: 'GET', path: '/metrics', headers: [], body: undefined, upgrade: undefined, reserved },
      clock,
      { timeoutMs: HOUR_MS, maxBytes: 100 },
    );
  const question = async (): Promise<string | number> => {
    const answer = await ask(true);
    return answer.kind === 'response' ? answer.status : answer.code;
  };
  return { clock, client, sockets, question, request: () => ask(false) };
}

function specOf({ url }: { readonly url: string }): WorkerSpec {
  return { ...{ baseUrl: url, id: url }, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS };
}

test('looks that are far apart share one connection', async (t) => {
  const worker = await startWorker(t);
  const { clock, client, sockets, question } = clientOf(t, worker);
  const spec = specOf(worker);
  for (let look = 0; look < 5; look += 1) {
    assert.equal(await question(), 200);
    clock.advance(20_000);
    const probed = await probeWorker(client, spec, clock, { healthPath: '/health', timeoutMs: 1000 });
    assert.ok(probed.ok);
    clock.advance(60_000);
  }
  assert.deepEqual([worker.accepted, sockets.open], [1, 1]);
});

test('a request takes it only while it may count on it', async (t) => {
  const worker = await startWorker(t);
  const { clock, question, request } = clientOf(t, worker);
  await question();
  clock.advance(3_900);
  await request();
  assert.equal(worker.accepted, 1);
  clock.advance(5_000);
  await question();
  clock.advance(4_100);
  await request();
  assert.equal(worker.accepted, 3);
});

test('a look that is taken because a request could make no connection makes one itself', async (t) => {
  const worker = await startWorker(t);
  const { clock, client, question } = clientOf(t, worker);
  await question();
  const settings = { healthPath: '/health', timeoutMs: 1000 };
  assert.ok((await probeWorker(client, specOf(worker), clock, settings)).ok);
  assert.equal(worker.accepted, 1);
  assert.ok((await probeWorker(client, specOf(worker), clock, { ...settings, anew: true })).ok);
  assert.equal(worker.accepted, 2);
});

test('a worker that has died is noticed', async (t) => {
  const worker = await startWorker(t);
  const { clock, sockets, question } = clientOf(t, worker);
  await question();
  clock.advance(20_000);
  await worker.stop();
  assert.equal(await question(), 'connect_failed');
  assert.equal(sockets.open, 0);
});

test('where the connection dies in the moment of the next look, that is sent again on a new one', async (t) => {
  const worker = await startWorker(t);
  const { clock, question } = clientOf(t, worker);
  await question();
  clock.advance(20_000);
  worker.open[0]?.removeAllListeners('data').once('data', function (this: Socket) {
    this.resetAndDestroy();
  });
  assert.equal(await question(), 200);
  assert.equal(worker.accepted, 2);
  // As it was open for 20 s, so it will be.
  clock.advance(15_000);
  await question();
  assert.equal(worker.accepted, 2);
  clock.advance(19_500);
  await question();
  assert.equal(worker.accepted, 3);
});

test('a worker that ends connections sooner than it is asked again is believed', async (t) => {
  const worker = await startWorker(t);
  const { clock, sockets, question } = clientOf(t, worker);
  await question();
  clock.advance(5_000);
  worker.open[0]?.end();
  await eventually(() => sockets.open === 0);
  await question();
  assert.equal(worker.accepted, 2);
  // It is given up before the worker would do it, as those of requests are.
  clock.advance(4_000);
  await eventually(() => sockets.open === 0);
});

test('it is the first to give way to a request', async (t) => {
  const [busy, asked, wanted] = await Promise.all([startWorker(t), startWorker(t), startWorker(t)]);
  const sockets = new OutboundSockets(2);
  const clients = [busy, asked, wanted].map((worker) => clientOf(t, worker, sockets));
  // Older than the one that is kept, and yet it stays.
  await clients[0]!.request();
  await clients[1]!.question();
  const answer = await clients[2]!.request();
  assert.equal(answer.kind, 'response');
  await eventually(() => asked.open.length === 0);
  assert.deepEqual([busy.open.length, wanted.open.length, sockets.open], [1, 1, 2]);
});

test('no more than half of the connections there may be are kept so', async (t) => {
  const workers = await Promise.all(Array.from({ length: 5 }, () => startWorker(t)));
  const sockets = new OutboundSockets(4);
  for (const worker of workers) {
    const { clock, question } = clientOf(t, worker, sockets);
    assert.equal(await question(), 200);
    clock.advance(10_000);
  }
  await eventually(() => workers.filter(({ open }) => open.length > 0).length === 2);
});
