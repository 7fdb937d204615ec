/** Our sockets against those of libzmq, which engines publish with. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/system-clock.ts';
import { encode } from '@msgpack/msgpack';
import { readPeerMessage } from '../../src/discovery/zmq/peer-message.ts';
import { listenForNotices } from '../../src/engines/prefill-decode/lmcache-notices.ts';
import { DealerSocket } from '../../src/zmtp/dealer.ts';
import type { Endpoint } from '../../src/zmtp/endpoint.ts';
import { PubSocket } from '../../src/zmtp/pub.ts';
import { RouterSocket, type Reply } from '../../src/zmtp/router.ts';
import { SubSocket } from '../../src/zmtp/sub.ts';
import { installPythonClient, PYZMQ } from './install-python-client.ts';

const MESSAGES = 20_000;
const OPTIONS = { clock: systemClock, random: () => 0 };
const PEER = join(import.meta.dirname, 'zmq_peer.py');

const installed = await installPythonClient(PYZMQ);
const skip = installed.kind === 'absent' ? installed.reason : false;
if (skip !== false) process.stderr.write(`skipped, no pyzmq for Python: ${skip}\n`);

/** What the script prints, a line at a time. */
interface Line {
  readonly bound?: readonly [string, string];
  readonly joined?: true;
  readonly received?: number;
  readonly wrong?: number;
  readonly answers?: readonly (readonly string[])[];
}

interface Peer {
  next(): Promise<Line>;
  say(line: string): void;
  /** Resolves when it has ended. */
  stop(): Promise<void>;
}

function startPeer(t: TestContext, ...args: readonly (string | number)[]): Peer {
  assert.ok(installed.kind === 'installed');
  const child = spawn(installed.python, [PEER, ...args.map(String)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  t.after(() => child.kill('SIGKILL'));
  // What is said to one that has ended.
  child.stdin.on('error', () => undefined);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    next: async () => {
      const line = await lines.next();
      assert.ok(line.done !== true, 'it ended before it told');
      // The shapes are those of the script beside this file; what they hold is asserted on.
      return JSON.parse(line.value) as Line;
    },
    say: (line) => child.stdin.write(`${line}\n`),
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

function at(port: string | number): Endpoint {
  return { kind: 'tcp', host: '127.0.0.1', port: Number(port) };
}

function seqFrame(seq: number): Buffer {
  const frame = Buffer.alloc(8);
  frame.writeBigUInt64BE(BigInt(seq));
  return frame;
}

/** As the script makes it: each thousandth is 300 kB. */
function payload(seq: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(seq);
  return Buffer.alloc(4 * (seq % 1000 === 0 ? 75_000 : 30), word);
}

/** Collects numbered messages; resolves `all` with the last one. */
class Received {
  next: number;
  wrong: number | undefined;
  readonly all: Promise<void>;
  readonly joined: Promise<void>;
  #onAll: () => void = () => undefined;
  #onJoined: () => void = () => undefined;
  readonly #until: number;

  constructor(from: number, until: number) {
    this.next = from;
    this.#until = until;
    this.all = new Promise((resolve) => (this.#onAll = resolve));
    this.joined = new Promise((resolve) => (this.#onJoined = resolve));
  }

  readonly push = (frames: readonly Buffer[]): void => {
    const [topic, seq, body] = frames;
    if (topic?.toString() === 'probe') {
      this.#onJoined();
      return;
    }
    const isRight = seq?.equals(seqFrame(this.next)) === true && body?.equals(payload(this.next)) === true;
    if (!isRight) this.wrong ??= this.next;
    this.next += 1;
    if (this.next === this.#until) this.#onAll();
  };
}

async function knock(joined: Promise<void>, peer: Peer): Promise<void> {
  let isIn = false;
  void joined.then(() => (isIn = true));
  while (!isIn) {
    peer.say('probe');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

suite('libzmq', { skip, timeout: 120_000 }, () => {
  test('publishes to our SUB without gap, with frames of 300 kB, and again after it restarted', async (t) => {
    const peer = startPeer(t, 'publish', 0, 0, MESSAGES, 0);
    const [port] = (await peer.next()).bound!;
    let received = new Received(0, MESSAGES);
    const ends: string[] = [];
    const sub = new SubSocket(at(port), ['topic', 'probe'], OPTIONS, {
      onReady: () => undefined,
      onMessage: (frames) => received.push(frames),
      onEnd: ({ cause }) => ends.push(cause),
    });
    t.after(() => sub.close());
    await knock(received.joined, peer);
    const before = process.cpuUsage();
    peer.say('all');
    await received.all;
    const { user, system } = process.cpuUsage(before);
    t.diagnostic(`${((user + system) / MESSAGES).toFixed(1)} us of CPU a message`);
    assert.equal(received.wrong, undefined);
    await peer.stop();
    received = new Received(5, 5 + MESSAGES);
    const again = startPeer(t, 'publish', port, 0, MESSAGES, 5);
    await again.next();
    await knock(received.joined, again);
    again.say('all');
    await received.all;
    assert.equal(received.wrong, undefined);
    assert.equal(ends[0], 'closed');
  });

  test('answers our DEALER from its ROUTER, frame by frame', async (t) => {
    const peer = startPeer(t, 'publish', 0, 0, MESSAGES, 0);
    const [, port] = (await peer.next()).bound!;
    let next = 3;
    const end = await new Promise<readonly Buffer[]>((resolve) => {
      const dealer = new DealerSocket(at(port), [Buffer.alloc(0), seqFrame(3)], OPTIONS, {
        onMessage: (frames) => {
          if (frames.at(-1)?.length === 0) {
            resolve(frames);
            return;
          }
          const [empty, topic, seq, body] = frames;
          if (empty?.length !== 0 || topic?.toString() !== 'topic') return;
          if (seq?.equals(seqFrame(next)) === true && body?.equals(payload(next)) === true) next += 1;
        },
        onEnd: () => undefined,
      });
      t.after(() => dealer.close());
    });
    assert.equal(next, MESSAGES);
    assert.deepEqual(
      end.map((frame) => frame.toString('hex')),
      ['', '', 'f'.repeat(16), ''],
    );
  });

  test('registers a worker at our ROUTER, and goes on after that was away', async (t) => {
    const message = { type: 'P', http_address: '127.0.0.1:8000', zmq_address: '127.0.0.1:21001' };
    const bind = async (port: number): Promise<{ readonly port: number; readonly heard: Promise<void> }> => {
      let onHeard: () => void = () => undefined;
      const heard = new Promise<void>((resolve) => (onHeard = resolve));
      const router = await RouterSocket.bind(at(port), OPTIONS, ([payload], _, { address }) => {
        const read = readPeerMessage(payload ?? Buffer.alloc(0));
        assert.ok('role' in read);
        assert.deepEqual(
          [read.role, read.zmqAddress, address],
          ['prefill', message.zmq_address, '127.0.0.1'],
        );
        onHeard();
        void router.close();
      });
      t.after(() => router.close());
      assert.ok(router.endpoint.kind === 'tcp');
      return { port: router.endpoint.port, heard };
    };
    const first = await bind(0);
    const peer = startPeer(t, 'send', 'dealer', first.port, Buffer.from(encode(message)).toString('hex'));
    await peer.next();
    await knock(first.heard, peer);
    const again = await bind(first.port);
    await knock(again.heard, peer);
  });

  test('pushes the notices of LMCache to our PULL', async (t) => {
    const notice = Buffer.from(encode({ type: 'ProxyNotif', req_id: 'r-1' }));
    let onNotice: (id: string) => void = () => undefined;
    const heard = new Promise<string>((resolve) => (onNotice = resolve));
    const listener = await listenForNotices(at(0), OPTIONS, {
      onNotice,
      onMalformed: () => assert.fail('it cannot be read'),
      onRefused: () => assert.fail('it is refused'),
    });
    t.after(() => listener.close());
    assert.ok(listener.endpoint.kind === 'tcp');
    const peer = startPeer(t, 'send', 'push', listener.endpoint.port, notice.toString('hex'));
    await peer.next();
    peer.say('notice');
    assert.equal(await heard, 'r-1');
    await peer.stop();
  });

  test('subscribes to our PUB and asks our ROUTER; its heartbeats are answered', async (t) => {
    const pub = await PubSocket.bind(at(0), { ...OPTIONS, maxQueuedBytes: 1e9 });
    t.after(() => pub.close());
    const router = await RouterSocket.bind(at(0), OPTIONS, (frames: readonly Buffer[], reply: Reply) => {
      for (const seq of [7, 8]) reply([Buffer.alloc(0), Buffer.from('topic'), seqFrame(seq), payload(seq)]);
      reply([...frames, Buffer.from('end')]);
    });
    t.after(() => router.close());
    assert.ok(pub.endpoint?.kind === 'tcp' && router.endpoint.kind === 'tcp');
    const peer = startPeer(t, 'subscribe', pub.endpoint.port, router.endpoint.port, MESSAGES, 0);
    let isIn = false;
    void peer.next().then(() => (isIn = true));
    while (!isIn) {
      pub.send([Buffer.from('probe'), Buffer.alloc(0)]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (let seq = 0; seq < MESSAGES; seq += 1) pub.send([Buffer.from('topic'), seqFrame(seq), payload(seq)]);
    const told = await peer.next();
    assert.equal(told.wrong, undefined);
    assert.equal(told.received, MESSAGES);
    const hex = (...frames: readonly Buffer[]): string[] => frames.map((frame) => frame.toString('hex'));
    assert.deepEqual(told.answers, [
      hex(Buffer.alloc(0), Buffer.from('topic'), seqFrame(7), payload(7)),
      hex(Buffer.alloc(0), Buffer.from('topic'), seqFrame(8), payload(8)),
      hex(Buffer.alloc(0), seqFrame(7), Buffer.from('end')),
    ]);
  });
});
