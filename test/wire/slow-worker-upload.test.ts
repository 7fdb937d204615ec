/** A worker that takes an upload slowly, or not at all, slows the client: nothing piles up here, nobody is blamed for it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { eventually, settledAt, startFleet, type Fleet } from '../support/fleet.ts';
import { startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

const MIB = 1024 * 1024;
const PIECE = Buffer.alloc(65_536, 'a');
/** 128 MiB: far more than the kernel's buffers between three sockets can hold. */
const PIECES = 2048;
const SENT = PIECES * PIECE.length;
const HELD = 24 * MIB;
const PATH = '/v1/audio/transcriptions';

interface Upload {
  readonly client: ClientRequest;
  /** Bytes that the client could hand over so far. */
  readonly written: () => number;
  readonly response: Promise<IncomingMessage>;
}

/** Uploads 128 MiB in chunks, as fast as it is allowed to. */
function upload(fleet: Fleet): Upload {
  let left = PIECES;
  const client = request(fleet.url + PATH, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
  });
  const pump = (): void => {
    while (left > 0) {
      left -= 1;
      if (!client.write(PIECE)) return;
    }
    client.end();
  };
  client.on('drain', pump);
  const response = once(client, 'response').then(([message]) => message as IncomingMessage);
  response.catch(() => undefined);
  pump();
  return {
    client,
    response,
    written: () => (PIECES - left) * PIECE.length - (client.socket?.writableLength ?? 0),
  };
}

interface Stubborn {
  readonly worker: ScriptedWorker;
  /** The upload as the worker has it: its head, and a body that nobody has read. */
  readonly arrived: Promise<readonly [IncomingMessage, ServerResponse]>;
}

async function startStubborn(): Promise<Stubborn> {
  const arrived = Promise.withResolvers<readonly [IncomingMessage, ServerResponse]>();
  const worker = await startScriptedWorker(undefined, {
    onHead: (req, res) => {
      req.on('error', () => undefined);
      arrived.resolve([req, res]);
    },
  });
  return { worker, arrived: arrived.promise };
}

async function sizeOf(stream: IncomingMessage): Promise<number> {
  let size = 0;
  for await (const piece of stream) size += (piece as Buffer).length;
  return size;
}

test('a worker that does not read holds up the client, and gets every byte in the end', async () => {
  const clock = new VirtualClock();
  const { worker, arrived } = await startStubborn();
  await using _worker = worker;
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url], clock });
  const { response, written } = upload(fleet);
  const [req, res] = await arrived;
  const held = await settledAt(written);
  assert.ok(held < HELD, `${held / MIB} MiB were taken from the client`);
  assert.equal(fleet.app.runtime.bodyBytes.held, 0);
  // The client is silent because it is not read: its idle timeout does not count.
  clock.advance(1_000_000);

  assert.equal(await sizeOf(req), SENT);
  res.end('done');
  const answer = await response;
  assert.equal(answer.statusCode, 200);
  assert.equal(await sizeOf(answer), 4);
  const decision = await fleet.decision();
  assert.equal(decision.outcome, 'ok');
  assert.equal(decision.request_bytes, SENT);
});

test('a worker that answers without reading the upload is heard', async () => {
  const { worker, arrived } = await startStubborn();
  await using _worker = worker;
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
  const { client, response } = upload(fleet);
  client.on('error', () => undefined);
  const [, res] = await arrived;
  res.writeHead(413, { 'content-length': 5 }).end('large');
  const answer = await response;
  assert.equal(answer.statusCode, 413);
  assert.equal(await sizeOf(answer), 5);
});

test('a client that left meanwhile is noticed when the worker has read what was held', async () => {
  const { worker, arrived } = await startStubborn();
  await using _worker = worker;
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [worker.url] });
  const { client, written } = upload(fleet);
  client.on('error', () => undefined);
  const [req] = await arrived;
  await settledAt(written);
  client.destroy();
  await assert.rejects(sizeOf(req));
  await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
  const decision = await fleet.decision();
  assert.equal(decision.outcome, 'client_abort');
  assert.equal(decision.status, 499);
});

test('an upload that has begun is not sent again when its worker dies', async () => {
  const { worker, arrived } = await startStubborn();
  await using _worker = worker;
  await using other = await startScriptedWorker();
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [worker.url, other.url],
    router: { policy: 'round_robin' },
  });
  const { client, response, written } = upload(fleet);
  client.on('error', () => undefined);
  const [req] = await arrived;
  await settledAt(written);
  req.socket.resetAndDestroy();
  const answer = await response;
  assert.equal(answer.statusCode, 502);
  answer.resume();
  assert.equal(other.received.length, 0);
  const decision = await fleet.decision();
  assert.equal(decision.attempts.length, 1);
  assert.equal(decision.outcome, 'worker_broken');
});
