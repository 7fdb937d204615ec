/** The sockets against each other and against peers that speak something else, over real connections. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { ByteBudget } from '../base/byte-budget.ts';
import { systemClock } from '../base/system-clock.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DealerSocket } from './dealer.ts';
import type { Endpoint } from './endpoint.ts';
import { encodeCommand, encodeMessage } from './frames.ts';
import { readyCommand, topicCommand } from './commands.ts';
import { GREETING } from './greeting.ts';
import type { Listener } from './listener.ts';
import type { PeerEnd } from './peer.ts';
import { PubSocket } from './pub.ts';
import { bindPull } from './pull.ts';
import { RouterSocket } from './router.ts';
import { Sender } from './sender.ts';
import { bindSub, SubSocket } from './sub.ts';

const ANY: Endpoint = { kind: 'tcp', host: '127.0.0.1', port: 0 };
const OPTIONS = { clock: systemClock, random: () => 0 };

/** A publisher's or asker's other side: a plain server that may do anything. Resolves to its endpoint and connections. */
async function plainServer(t: TestContext, onSocket: (socket: Socket) => void): Promise<Endpoint> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    onSocket(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  // It listens on TCP.
  const { port } = server.address() as AddressInfo;
  return { kind: 'tcp', host: '127.0.0.1', port };
}

/** Waits on what a socket tells of. */
class Told<T> {
  readonly #all: T[] = [];
  readonly #waiting = new Set<() => void>();

  readonly push = (one: T): void => {
    this.#all.push(one);
    for (const look of this.#waiting) look();
  };

  get all(): readonly T[] {
    return this.#all;
  }

  /** The first one that fits, come or to come. */
  first(fits: (one: T) => boolean = () => true): Promise<T> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.#all.find(fits);
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }

  async count(n: number): Promise<void> {
    while (this.#all.length < n) await new Promise<void>((resolve) => this.#once(resolve));
  }

  #once(then: () => void): void {
    const look = (): void => {
      this.#waiting.delete(look);
      then();
    };
    this.#waiting.add(look);
  }
}

interface Subscribed {
  readonly messages: Told<string>;
  readonly ends: Told<PeerEnd & { readonly pauseMs: number }>;
  readonly ready: Told<true>;
}

function subscribe(
  t: TestContext,
  endpoint: Endpoint,
  topics = [''],
  options: Partial<ConstructorParameters<typeof SubSocket>[2]> = {},
): Subscribed {
  const told: Subscribed = { messages: new Told(), ends: new Told(), ready: new Told() };
  const sub = new SubSocket(
    endpoint,
    topics,
    { ...OPTIONS, ...options },
    {
      onReady: () => told.ready.push(true),
      onMessage: (frames) => told.messages.push(frames.map(String).join('|')),
      onEnd: (end, pauseMs) => told.ends.push({ ...end, pauseMs }),
    },
  );
  t.after(() => sub.close());
  return told;
}

async function publisher(t: TestContext, options = {}, endpoint = ANY): Promise<PubSocket> {
  const pub = await PubSocket.bind(endpoint, { ...OPTIONS, ...options });
  t.after(() => pub.close());
  return pub;
}

/** Publishes until a subscriber has it: when it subscribed, a publisher is not told. */
async function publishUntil(
  pub: PubSocket,
  told: Told<string>,
  ...frames: [string, ...string[]]
): Promise<void> {
  const bytes = frames.map((frame) => Buffer.from(frame)) as [Buffer, ...Buffer[]];
  while (!told.all.includes(frames.join('|'))) {
    pub.send(bytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('SUB and PUB', () => {
  it('bring what was subscribed to, in order, and nothing else', async (t) => {
    const pub = await publisher(t);
    const { messages } = subscribe(t, pub.endpoint!, ['kv-', 'other']);
    await publishUntil(pub, messages, 'kv-a', 'begin');
    assert.equal(pub.send([Buffer.from('k'), Buffer.from('too short')]), 0);
    for (let i = 0; i < 500; i += 1) pub.send([Buffer.from('kv-b'), Buffer.from(String(i))]);
    pub.send([Buffer.from('other'), Buffer.alloc(300_000, 'x')]);
    const last = await messages.first((message) => message.startsWith('other'));
    assert.equal(last.length, 'other|'.length + 300_000);
    const numbered = messages.all.filter((message) => message.startsWith('kv-b'));
    assert.deepEqual(
      numbered,
      Array.from({ length: 500 }, (_, i) => `kv-b|${i}`),
    );
  });

  it('connect again when the publisher has been away, with pauses that grow', async (t) => {
    const pub = await publisher(t);
    const endpoint = pub.endpoint!;
    const { messages, ends } = subscribe(t, endpoint);
    await publishUntil(pub, messages, 'a', 'first');
    await pub.close();
    await ends.count(3);
    const again = await publisher(t, {}, endpoint);
    await publishUntil(again, messages, 'a', 'second');
    // The jitter is at its least: half of 100, 200, 400 ms.
    assert.deepEqual(
      ends.all.slice(0, 3).map(({ cause, pauseMs }) => [cause, pauseMs]),
      [
        ['closed', 50],
        ['unreachable', 100],
        ['unreachable', 200],
      ],
    );
  });

  it('turn round: the publisher connects to a subscriber that listens', async (t) => {
    const messages = new Told<string>();
    const ends = new Told<PeerEnd>();
    const listener: Listener = await bindSub(ANY, [''], OPTIONS, {
      onReady: () => undefined,
      onMessage: (frames) => messages.push(frames.map(String).join('|')),
      onEnd: (end) => ends.push(end),
    });
    t.after(() => listener.close());
    const pub = PubSocket.connect(listener.endpoint, OPTIONS);
    await publishUntil(pub, messages, 'kv@host:1@model', 'batch');
    await pub.close();
    assert.equal((await ends.first()).cause, 'closed');
    assert.equal(listener.peers.size, 0);
  });

  it('refuse connections beyond the limit', async (t) => {
    const refused = new Told<true>();
    const listener = await bindSub(
      ANY,
      [''],
      { ...OPTIONS, maxPeers: 1 },
      {
        onReady: () => undefined,
        onMessage: () => undefined,
        onEnd: () => undefined,
        onRefused: () => refused.push(true),
      },
    );
    t.after(() => listener.close());
    const { endpoint } = listener;
    assert.equal(endpoint.kind, 'tcp');
    const sockets = [connect(endpoint.port, '127.0.0.1'), connect(endpoint.port, '127.0.0.1')];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    await refused.first();
    assert.equal(listener.peers.size, 1);
  });

  it('keep no more of unfinished messages than all peers may have, and give it back when they leave', async (t) => {
    const readBytes = new ByteBudget(1000);
    const ends = new Told<PeerEnd>();
    const listener = await bindSub(
      ANY,
      [''],
      { ...OPTIONS, readBytes },
      { onReady: () => undefined, onMessage: () => undefined, onEnd: (end) => ends.push(end) },
    );
    t.after(() => listener.close());
    const { endpoint } = listener;
    assert.equal(endpoint.kind, 'tcp');
    const unfinished = encodeMessage([new Uint8Array(700)]).subarray(0, 600);
    const sockets = [0, 1].map(() => {
      const socket = connect(endpoint.port, '127.0.0.1');
      socket.write(Buffer.concat([GREETING, encodeCommand(readyCommand('PUB')), unfinished]));
      return socket;
    });
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    assert.equal((await ends.first()).cause, 'too_large');
    assert.equal(readBytes.used, 591);
    for (const socket of sockets) socket.destroy();
    await ends.count(2);
    assert.equal(readBytes.used, 0);
  });

  it('drop messages for one who does not read, for nobody else, and keep no more than the bound', async (t) => {
    const bound = 1024 * 1024;
    const pub = await publisher(t, { maxQueuedBytes: bound });
    const endpoint = pub.endpoint!;
    assert.equal(endpoint.kind, 'tcp');
    const lazy = connect(endpoint.port, '127.0.0.1');
    t.after(() => lazy.destroy());
    lazy.write(
      Buffer.concat([
        GREETING,
        encodeCommand(readyCommand('SUB')),
        encodeCommand(topicCommand('SUBSCRIBE', Buffer.alloc(0))),
      ]),
    );
    await once(lazy, 'connect');
    lazy.pause();
    const { messages } = subscribe(t, endpoint);
    await publishUntil(pub, messages, 'a', 'begin');
    // Both get it, until what waits for the lazy one is beyond the bound.
    let sent = 0;
    const before = messages.all.length;
    const big = Buffer.alloc(100_000);
    for (let i = 1; i <= 200; i += 1) {
      sent += pub.send([Buffer.from('a'), big]);
      await messages.count(before + i);
    }
    assert.ok(sent < 400, `${sent} of 400`);
    assert.ok(sent >= 200 + 10);
  });
});

describe('DEALER and ROUTER', () => {
  it('ask and answer, each asker by itself', async (t) => {
    const router = await RouterSocket.bind(ANY, OPTIONS, (frames, reply) => {
      for (const n of [1, 2]) reply([...frames, Buffer.from(String(n))]);
    });
    t.after(() => router.close());
    const answers = ['x', 'y'].map((name) => {
      const told = new Told<string>();
      const dealer = new DealerSocket(router.endpoint, [Buffer.alloc(0), Buffer.from(name)], OPTIONS, {
        onMessage: (frames) => told.push(frames.map(String).join('|')),
        onEnd: () => undefined,
      });
      t.after(() => dealer.close());
      return told;
    });
    for (const told of answers) await told.count(2);
    assert.deepEqual(
      answers.map(({ all }) => all),
      [
        ['|x|1', '|x|2'],
        ['|y|1', '|y|2'],
      ],
    );
  });

  it('are not taken for PUB and SUB', async (t) => {
    const router = await RouterSocket.bind(ANY, OPTIONS, () => undefined);
    t.after(() => router.close());
    const { ends } = subscribe(t, router.endpoint);
    const { cause, message } = await ends.first();
    assert.equal(cause, 'refused');
    assert.match(message, /"ROUTER", not PUB or XPUB/);
  });
});

describe('a sender', () => {
  it('pushes what a PULL takes, of many and in order, and is heard again after that was away', async (t) => {
    const messages = new Told<string>();
    const pull = (endpoint: Endpoint): Promise<Listener> =>
      bindPull(endpoint, OPTIONS, (frames) => messages.push(frames.map(String).join('|')));
    const first = await pull(ANY);
    t.after(() => first.close());
    const { endpoint } = first;
    const ends = new Told<PeerEnd>();
    const senders = ['x', 'y'].map((name) => {
      const ready = new Told<true>();
      const events = { onReady: () => ready.push(true), onEnd: (end: PeerEnd) => ends.push(end) };
      const sender = new Sender(endpoint, 'PUSH', OPTIONS, events);
      t.after(() => sender.close());
      return { name, ready, sender };
    });
    for (const { name, ready, sender } of senders) {
      assert.equal(sender.send([Buffer.from('nobody is there yet')]), false);
      await ready.first();
      for (let i = 0; i < 100; i += 1)
        assert.equal(sender.send([Buffer.from(name), Buffer.from(String(i))]), true);
    }
    await messages.count(200);
    for (const { name } of senders)
      assert.deepEqual(
        messages.all.filter((message) => message.startsWith(name)),
        Array.from({ length: 100 }, (_, i) => `${name}|${i}`),
      );
    await first.close();
    await ends.count(2);
    const again = await pull(endpoint);
    t.after(() => again.close());
    for (const { ready } of senders) await ready.count(2);
    senders[1]?.sender.send([Buffer.from('again')]);
    await messages.count(201);
    assert.equal(messages.all.at(-1), 'again');
  });

  it('speaks to a ROUTER as DEALER, which knows whence it comes, and not to a PULL', async (t) => {
    const heard = new Told<string>();
    const router = await RouterSocket.bind(ANY, OPTIONS, (frames, _, from) =>
      heard.push(`${frames.map(String).join('|')} from ${from.address ?? ''}`),
    );
    t.after(() => router.close());
    const ready = new Told<true>();
    const dealer = new Sender(router.endpoint, 'DEALER', OPTIONS, { onReady: () => ready.push(true) });
    t.after(() => dealer.close());
    await ready.first();
    dealer.send([Buffer.from('ping')]);
    assert.equal(await heard.first(), 'ping from 127.0.0.1');
    const pull = await bindPull(ANY, OPTIONS, () => undefined);
    t.after(() => pull.close());
    const ends = new Told<PeerEnd>();
    const wrong = new Sender(pull.endpoint, 'DEALER', OPTIONS, { onEnd: (end) => ends.push(end) });
    t.after(() => wrong.close());
    assert.equal((await ends.first()).cause, 'refused');
  });
});

describe('a peer', () => {
  it('that speaks HTTP is left', async (t) => {
    const endpoint = await plainServer(t, (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    assert.equal((await subscribe(t, endpoint).ends.first()).cause, 'not_zmtp');
  });

  it('that says nothing is left after the time for the handshake', async (t) => {
    const clock = new VirtualClock();
    const endpoint = await plainServer(t, (socket) => {
      socket.once('data', () => clock.advance(10_000));
    });
    const { ends } = subscribe(t, endpoint, [''], { clock });
    assert.deepEqual(await ends.first(), { cause: 'timeout', message: 'no READY', pauseMs: 50 });
  });

  it('that sends a frame beyond the limit is left', async (t) => {
    const endpoint = await plainServer(t, (socket) =>
      socket.write(
        Buffer.concat([
          GREETING,
          encodeCommand(readyCommand('PUB')),
          Buffer.from([2, 0xff, 0, 0, 0, 0, 0, 0, 0]),
        ]),
      ),
    );
    assert.equal((await subscribe(t, endpoint).ends.first()).cause, 'too_large');
  });

  it('that is silent gets a PING, and is left when it does not answer', async (t) => {
    const clock = new VirtualClock();
    const endpoint = await plainServer(t, (socket) => {
      socket.write(Buffer.concat([GREETING, encodeCommand(readyCommand('PUB'))]));
      socket.on('data', (bytes) => {
        if (bytes.includes('PING')) clock.advance(15_000);
      });
    });
    const { ready, ends } = subscribe(t, endpoint, [''], { clock });
    await ready.first();
    clock.advance(15_000);
    assert.deepEqual(await ends.first(), { cause: 'timeout', message: 'no answer to PING', pauseMs: 50 });
  });

  it('that goes on sending is kept', async (t) => {
    const clock = new VirtualClock();
    const pub = await publisher(t, { idleMs: 1e9 });
    const { ready, ends, messages } = subscribe(t, pub.endpoint!, [''], { clock });
    await ready.first();
    for (let i = 0; i < 5; i += 1) {
      clock.advance(15_000);
      await publishUntil(pub, messages, 'a', String(i));
    }
    assert.deepEqual(ends.all, []);
  });

  it('is left when it gave a time to live and is silent for as long', async (t) => {
    const clock = new VirtualClock();
    const endpoint = await plainServer(t, (socket) => {
      socket.write(
        Buffer.concat([
          GREETING,
          encodeCommand(readyCommand('PUB')),
          encodeCommand(Buffer.from('\u0004PING\u0000\u0014', 'latin1')),
          encodeMessage([Buffer.from('a')]),
        ]),
      );
    });
    const { messages, ends } = subscribe(t, endpoint, [''], { clock });
    await messages.first();
    clock.advance(1999);
    assert.deepEqual(ends.all, []);
    clock.advance(1);
    assert.equal((await ends.first()).cause, 'timeout');
  });
});
