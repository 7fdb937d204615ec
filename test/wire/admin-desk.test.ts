/** Requests for the worker and admin routes between the thread that has them and control, which serves them: both ends of a port. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { AdminDesk } from '../../src/admin/admin-desk.ts';
import type { AdminBody, AdminHead, AdminReply, ServeAdmin } from '../../src/admin/exchange.ts';
import { MOST_TURNED_AWAY, MOST_UNDER_WAY, type RemoteAdmin } from '../../src/admin/remote-admin.ts';
import { ANSWER, BODY } from '../../src/admin/remote-messages.ts';
import { PortChannel, PortChannels } from '../../src/base/port-channel.ts';
import { eventually, settledAt } from '../support/fleet.ts';
import { ask, headerValue, RawClient } from '../support/raw-client.ts';
import { listenForControl } from '../threads/admin-listener.ts';

const GET = 'GET /admin/x HTTP/1.1\r\nHost: localhost\r\n\r\n';
const FORBIDDEN = 'GET /admin/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example.com\r\n\r\n';
const MIB = 1024 * 1024;

/** What control was asked, in that order. */
interface Served {
  readonly head: AdminHead;
  readonly body: AdminBody;
  readonly reply: AdminReply;
  readonly closed: () => boolean;
}

interface Ends extends AsyncDisposable {
  readonly desk: AdminDesk;
  readonly channels: PortChannels;
  readonly admin: RemoteAdmin;
  readonly port: number;
  readonly served: readonly Served[];
  /** Messages and the bytes in them, by kind. */
  readonly posted: ReadonlyMap<string, { messages: number; bytes: number }>;
}

async function connectEnds(serve: ServeAdmin = () => undefined): Promise<Ends> {
  const channels = new PortChannels();
  const served: Served[] = [];
  const desk = new AdminDesk(
    channels,
    (head, body, reply) => {
      let closed = false;
      reply.onClosed(() => (closed = true));
      served.push({ head, body, reply, closed: () => closed });
      serve(head, body, reply);
    },
    500,
  );
  const { port1, port2 } = new MessageChannel();
  const posted = new Map<string, { messages: number; bytes: number }>();
  channels.add(1, counting(port1, posted));
  const options = { host: '127.0.0.1', peer: undefined };
  const door = { adminApiKey: undefined, proxyOperatorRoutes: false };
  const { edge, admin, port } = await listenForControl(new PortChannel(counting(port2, posted)), {
    ...options,
    door,
  });
  return {
    ...{ desk, channels, admin, port, served, posted },
    async [Symbol.asyncDispose]() {
      const stopped = edge.stop();
      edge.cut();
      await stopped;
      await eventually(() => desk.underWay === 0 && admin.underWay === 0);
      port1.close();
    },
  };
}

/** Counts what goes into a port. */
function counting(port: MessageChannel['port1'], posted: Map<string, { messages: number; bytes: number }>) {
  const post = port.postMessage.bind(port);
  port.postMessage = (message: { kind?: string; body?: { piece?: unknown } }, transfer) => {
    const { kind = '', body } = message;
    const count = posted.get(kind) ?? { messages: 0, bytes: 0 };
    count.messages += 1;
    if (body?.piece instanceof Uint8Array) count.bytes += body.piece.length;
    posted.set(kind, count);
    // What the channel posts to.
    post(message, transfer as readonly ArrayBuffer[]);
  };
  return port;
}

function answer(reply: AdminReply, body: Buffer, onFinished?: () => void): void {
  reply.writeHead(200, 'OK', ['content-length', String(body.length)]);
  reply.end(body, onFinished);
}

/** Bytes of which no two stretches are the same. */
function bytes(length: number): Buffer {
  const buffer = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) buffer.writeUInt32LE(at, at);
  return buffer;
}

test('an answer comes in pieces, as the client takes them, and is whole', async () => {
  const large = bytes(48 * MIB);
  let finished = false;
  await using ends = await connectEnds((_head, _body, reply) => {
    answer(reply, large, () => (finished = true));
  });
  const request = get({ port: ends.port, path: '/admin/x', agent: false });
  // Nothing of its body is read before somebody wants it.
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const sent = (): number => ends.posted.get(ANSWER.name)?.bytes ?? 0;
  const held = await settledAt(sent);
  assert.ok(held > 0 && held < 24 * MIB, `${held} bytes went out to a client that reads nothing`);
  assert.ok(!finished);
  assert.ok((await buffer(response)).equals(large));
  await eventually(() => finished);
  assert.equal(ends.served[0]?.closed(), true);
});

test('a body comes in pieces, as control takes them', async () => {
  const large = bytes(8 * MIB);
  await using ends = await connectEnds();
  await using client = await RawClient.connect(ends.port);
  client.send(`POST /admin/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${large.length}\r\n\r\n`);
  client.send(large);
  await eventually(() => ends.served.length === 1);
  const sent = (): number => ends.posted.get(BODY.name)?.messages ?? 0;
  assert.equal(await settledAt(sent), 0, 'nobody has asked for it');
  const [{ body, reply, head }] = ends.served as readonly [Served];
  assert.equal(head.length, large.length);
  const pieces: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  body.read({
    onBytes: (piece) => pieces.push(piece),
    onEnd: () => {
      resolve(undefined);
    },
    onBroken: () => {
      reject(new Error('broken'));
    },
  });
  await promise;
  assert.ok(Buffer.concat(pieces).equals(large));
  assert.ok(Math.max(...pieces.map(({ length }) => length)) <= 128 * 1024);
  answer(reply, Buffer.from('ok'));
  assert.equal((await client.response()).body.toString(), 'ok');
});

test('who does not want the rest of a body is not sent it, and its client is answered', async () => {
  await using ends = await connectEnds((_head, body, reply) => {
    body.read({
      onBytes: () => {
        body.stop();
        answer(reply, Buffer.from('enough'));
      },
      onEnd: () => undefined,
      onBroken: () => undefined,
    });
  });
  await using client = await RawClient.connect(ends.port);
  client.send(`POST /admin/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${4 * MIB}\r\n\r\n`);
  client.send(Buffer.alloc(4 * MIB));
  assert.equal((await client.response()).body.toString(), 'enough');
  assert.equal(await settledAt(() => ends.posted.get(BODY.name)?.messages ?? 0), 1);
});

test('a client that leaves ends what control does for it', async () => {
  await using ends = await connectEnds();
  const large = bytes(48 * MIB);
  const reading = await RawClient.connect(ends.port);
  reading.socket.pause();
  reading.send(GET);
  const waiting = await RawClient.connect(ends.port);
  waiting.send(GET);
  await eventually(() => ends.served.length === 2);
  const [first, second] = ends.served as readonly [Served, Served];
  answer(first.reply, large, () => assert.fail('it was never read'));
  const sent = (): number => ends.posted.get(ANSWER.name)?.bytes ?? 0;
  await settledAt(sent);
  await reading[Symbol.asyncDispose]();
  await waiting[Symbol.asyncDispose]();
  await eventually(() => first.closed() && second.closed());
  assert.ok(first.reply.closed && second.reply.closed);
  assert.equal(ends.desk.underWay, 0);
  assert.ok((await settledAt(sent)) < large.length);
  // Whoever still works on it finds out at once.
  let broken = 0;
  second.body.read({ onBytes: () => undefined, onEnd: () => undefined, onBroken: () => (broken += 1) });
  assert.equal(broken, 1);
  answer(second.reply, Buffer.from('nobody is there'));
});

test('what control gives up ends the connection', async () => {
  await using ends = await connectEnds((_head, _body, reply) => {
    reply.destroy();
  });
  await using client = await RawClient.connect(ends.port);
  client.send(GET);
  assert.equal((await client.ended()).rest.length, 0);
  await eventually(() => ends.served[0]?.closed() === true);
});

test('a head that cannot be written ends its connection and nothing else', async () => {
  await using ends = await connectEnds((_head, _body, reply) => {
    if (ends.served.length > 1) answer(reply, Buffer.from('ok'));
    else {
      reply.writeHead(200, 'OK', ['x-broken', 'a\r\nb']);
      reply.end('x');
    }
  });
  await using client = await RawClient.connect(ends.port);
  client.send(GET);
  assert.equal((await client.ended()).rest.length, 0);
  assert.equal((await ask(ends.port, GET)).status, 200);
});

test('answers keep the order in which they were asked for', async () => {
  await using ends = await connectEnds();
  await using client = await RawClient.connect(ends.port);
  client.send(GET + GET.replace('/admin/x', '/else') + GET);
  await eventually(() => ends.served.length === 2);
  for (const [at, { reply }] of [...ends.served.entries()].toReversed()) answer(reply, Buffer.from(`${at}`));
  const statuses = [await client.response(), await client.response(), await client.response()];
  assert.deepEqual(
    statuses.map(({ status, body }) => [status, body.toString()]),
    [
      [200, '0'],
      [204, ''],
      [200, '1'],
    ],
  );
});

test('a thread has so many requests in control, and those turned away keep nobody out', async () => {
  await using ends = await connectEnds();
  const clients = await Promise.all(
    Array.from({ length: MOST_TURNED_AWAY + MOST_UNDER_WAY }, () => RawClient.connect(ends.port)),
  );
  for (const [at, client] of clients.entries()) client.send(at < MOST_TURNED_AWAY ? FORBIDDEN : GET);
  await eventually(() => ends.served.length === clients.length);
  for (const request of [GET, FORBIDDEN]) {
    const refused = await ask(ends.port, request);
    assert.equal(refused.status, 503);
    assert.equal(headerValue(refused.headers, 'retry-after'), '1');
    assert.equal((JSON.parse(refused.body.toString()) as { code: string }).code, 'QUEUE_FULL');
  }
  // One place that is free again is one request's.
  const one = ends.served.find(({ head }) => head.verdict.kind === 'admitted');
  if (one) answer(one.reply, Buffer.from('ok'));
  await eventually(() => ends.admin.underWay === clients.length - 1);
  assert.equal((await ask(ends.port, FORBIDDEN)).status, 503);
  await using next = await RawClient.connect(ends.port);
  next.send(GET);
  await eventually(() => ends.served.length === clients.length + 1);
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
});

test('a thread that ends takes its requests along, and nobody else', async () => {
  await using ends = await connectEnds();
  await using client = await RawClient.connect(ends.port);
  client.send('POST /admin/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345');
  await eventually(() => ends.served.length === 1);
  const [{ body, reply, closed }] = ends.served as readonly [Served];
  const heard: string[] = [];
  body.read({
    onBytes: (piece) => heard.push(piece.toString()),
    onEnd: () => heard.push('end'),
    onBroken: () => heard.push('broken'),
  });
  await eventually(() => heard.length === 1);
  ends.channels.end(1);
  assert.deepEqual(heard, ['12345', 'broken']);
  assert.ok(closed() && reply.closed);
  assert.equal(ends.desk.underWay, 0);
  // It is late for all of this, and nothing comes of it.
  answer(reply, Buffer.from('ok'));
  reply.destroy();
  await client[Symbol.asyncDispose]();
});

test('who waits for the threads waits until they have heard everything, and for none that says nothing', async () => {
  await using ends = await connectEnds();
  const heard: string[] = [];
  const { port1, port2 } = new MessageChannel();
  const silent = new MessageChannel();
  const thread = new PortChannel(port2);
  thread.on<string>({ name: 'test:note' }, (note) => heard.push(note));
  thread.answer({ name: 'admin:caught-up' }, () => heard.push('asked') > 0);
  ends.channels.add(2, port1);
  ends.channels.to(2)?.post({ name: 'test:note' }, 'changed');
  await ends.desk.caughtUp();
  assert.deepEqual(heard, ['changed', 'asked']);
  ends.channels.add(3, silent.port1);
  await ends.desk.caughtUp();
  for (const port of [port1, silent.port1]) port.close();
});
