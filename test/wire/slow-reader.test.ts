/** A client that reads slowly, or not at all, slows its worker's socket: not our memory, not the others, not its own deadline. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { CHAT, chat } from '../support/chat.ts';
import { eventually, settledAt, startFleet, type Fleet } from '../support/fleet.ts';
import { startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

const MIB = 1024 * 1024;
const EVENTS = Buffer.from(`data: ${'x'.repeat(65_536 - 8)}\n\n`);
/** Wherever this is cut in two, it is between two events. */
const NEWLINES = Buffer.alloc(65_536, '\n');
/** 128 MiB: far more than the kernel's buffers between three sockets can hold. */
const PIECES = 2048;
const SENT = PIECES * EVENTS.length;
/** What the kernel may hold on the way (7 MiB where this was measured), with much room. */
const HELD = 24 * MIB;

interface Gush {
  readonly worker: ScriptedWorker;
  /** Bytes that the worker could hand over so far. */
  readonly written: () => number;
  /** Resolves when the worker's connection is gone before it was done. */
  readonly cut: Promise<void>;
}

/** A worker that streams as fast as it is allowed to; every other request gets a small answer. */
async function startGush(piece: Buffer, end: 'ends' | 'hangs'): Promise<Gush> {
  const cut: PromiseWithResolvers<void> = Promise.withResolvers();
  let left = PIECES;
  let stream: ServerResponse | undefined;
  const pump = (): void => {
    while (stream && left > 0) {
      left -= 1;
      if (!stream.write(piece)) return;
    }
    if (end === 'ends') stream?.end();
  };
  const worker = await startScriptedWorker((response, { body }) => {
    if (!body.includes('"stream":true')) {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    stream = response;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.on('drain', pump);
    response.on('close', () => {
      if (!response.writableFinished) cut.resolve();
    });
    pump();
  });
  return {
    worker,
    cut: cut.promise,
    written: () => (PIECES - left) * piece.length - (stream?.writableLength ?? 0),
  };
}

/** Asks for the stream and reads nothing of its body. */
async function askWithoutReading(fleet: Fleet): Promise<IncomingMessage> {
  const client = request(`${fleet.url}/v1/chat/completions`, { method: 'POST', agent: false });
  client.end(JSON.stringify({ ...CHAT, stream: true }));
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  return response;
}

async function bytesOf(response: IncomingMessage): Promise<number> {
  let size = 0;
  for await (const piece of response) size += (piece as Buffer).length;
  return size;
}

function fleetOf(gush: Gush, clock: VirtualClock): Promise<Fleet> {
  return startFleet({ workers: [], extraWorkerUrls: [gush.worker.url], clock });
}

test('a reader that stops holds up its worker, nobody else, and gets every byte in the end', async () => {
  const clock = new VirtualClock();
  const gush = await startGush(EVENTS, 'ends');
  await using _worker = gush.worker;
  await using fleet = await fleetOf(gush, clock);
  const response = await askWithoutReading(fleet);
  const written = await settledAt(gush.written);
  assert.ok(written < HELD, `${written / MIB} MiB were taken from the worker`);

  // Another request on the same worker goes through meanwhile.
  assert.equal((await chat(fleet)).status, 200);
  // The worker is silent because it is not read: no idle timeout, however long it takes.
  clock.advance(1_000_000);
  assert.equal(await bytesOf(response), SENT);
  const decision = await fleet.decision(({ stream }) => stream);
  assert.equal(decision.outcome, 'ok');
  assert.equal(decision.response_bytes, SENT);
});

test('when it reads again, a silent worker is a silent worker again', async () => {
  const clock = new VirtualClock();
  const gush = await startGush(NEWLINES, 'hangs');
  await using _worker = gush.worker;
  await using fleet = await fleetOf(gush, clock);
  const response = await askWithoutReading(fleet);
  await settledAt(gush.written);
  clock.advance(1_000_000);
  let size = 0;
  response.on('data', (piece: Buffer) => (size += piece.length));
  await eventually(() => size === SENT);
  clock.advance(300_000);
  await once(response, 'end');
  assert.equal((await fleet.decision()).error, 'stream_idle_timeout');
});

for (const [state, piece] of Object.entries({ 'within an event': EVENTS, 'between two events': NEWLINES })) {
  test(`a reader that stops for good ${state} is cut after the request's deadline`, async () => {
    const clock = new VirtualClock();
    const gush = await startGush(piece, 'ends');
    await using _worker = gush.worker;
    await using fleet = await fleetOf(gush, clock);
    const response = await askWithoutReading(fleet);
    await settledAt(gush.written);
    const { ledger, admission } = fleet.app.runtime;
    assert.equal(ledger.openLeases, 1);
    clock.advance(1_800_000);
    await gush.cut;
    // What says so cannot reach a client that does not read.
    clock.advance(5_000);
    await eventually(() => ledger.openLeases === 0 && admission.inFlight === 0);
    const decision = await fleet.decision();
    assert.equal(decision.outcome, 'router_error');
    assert.equal(decision.error, 'deadline_exceeded');
    await assert.rejects(bytesOf(response));
  });
}
