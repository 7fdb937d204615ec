import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../base/system-clock.ts';
import { ClientSeats } from './client-seats.ts';
import type { EdgeResponse } from './edge-response.ts';
import { EdgeServer, type EdgeEvents } from './server.ts';

/** More than the kernel takes of an answer that nobody reads. */
const BODY = Buffer.alloc(24 * 1024 * 1024, 'x');

interface Terms {
  readonly headerTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly onRefused: EdgeEvents['onRefused'];
}

function open(
  answer: (res: EdgeResponse) => void,
  { headerTimeoutMs = 5_000, keepAliveMs = 5_000, onRefused = ignore }: Partial<Terms> = {},
): EdgeServer {
  return new EdgeServer(
    {
      ...{ host: '127.0.0.1', port: 0, maxHeaderSize: 16_384, headerTimeoutMs, keepAliveMs },
      ...{ bodyIdleTimeoutMs: 5_000, maxPayloadSize: 1, maxInflightBodyBytes: 1, corsAllowedOrigins: [] },
      tls: undefined,
    },
    (_req, res) => {
      answer(res);
      return Promise.resolve();
    },
    { onRefused, onHandshakeFailure: ignore, onCertificate: ignore, onShortage: ignore },
    { seats: new ClientSeats(Infinity, systemClock), standing: Infinity },
  );
}

function ignore(): void {
  // Nobody wants to know.
}

function answerShortly(res: EdgeResponse): void {
  res.writeHead(200, 'OK', ['content-length', '2']);
  res.end('ok');
}

function answered(client: Socket): Promise<void> {
  return new Promise((resolve) => {
    client.on('data', (bytes) => {
      if (bytes.toString('latin1').endsWith('ok')) resolve();
    });
  });
}

test('an answer that has been handed over whole reaches a slow client whole, though the router stops meanwhile', async () => {
  let handedOver: () => void;
  const handed = new Promise<void>((resolve) => (handedOver = resolve));
  const edge = open((res) => {
    res.writeHead(200, 'OK', ['content-length', String(BODY.length)]);
    res.end(BODY);
    handedOver();
  });
  const client = connect({ host: '127.0.0.1', port: await edge.listen() });
  client.pause().write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await handed;
  const stopped = edge.stop();
  // Long enough for a look at idle connections.
  await new Promise((resolve) => setTimeout(resolve, 100));
  let size = 0;
  client.on('data', (bytes: Buffer) => (size += bytes.length)).resume();
  await once(client, 'close');
  assert.ok(size > BODY.length, `${size} bytes of a head and ${BODY.length}`);
  await stopped;
});

test('a kept-alive connection is not closed in the middle of the next request', async () => {
  // It may be idle for a second longer than is said.
  const edge = open(answerShortly, { keepAliveMs: 10 });
  const client = connect({ host: '127.0.0.1', port: await edge.listen() });
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await answered(client);
  client.write('GET / HTTP/1.1\r\n');
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  client.write('Host: x\r\n\r\n');
  await answered(client);
  await once(client, 'close');
  await edge.stop();
});

for (const [what, late] of [
  ['is not HTTP', 'no chunk\r\n'],
  ['is half a head', '0\r\n\r\nGET / HT'],
] as const) {
  test(`what comes behind the last answer and ${what} is not refused any more`, async () => {
    const refused: string[] = [];
    const edge = open(answerShortly, { headerTimeoutMs: 50, onRefused: (code) => refused.push(code) });
    const client = connect({ host: '127.0.0.1', port: await edge.listen(), allowHalfOpen: true });
    client.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    await answered(client);
    client.write(late);
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.end();
    await once(client, 'close');
    assert.deepEqual(refused, []);
    await edge.stop();
  });
}

test('many requests on one connection leave others their turn', async () => {
  const served: string[] = [];
  const edge = open((res) => {
    served.push(res.req.url);
    answerShortly(res);
  });
  const port = await edge.listen();
  const [many, one] = [connect({ host: '127.0.0.1', port }), connect({ host: '127.0.0.1', port })];
  await Promise.all([once(many, 'connect'), once(one, 'connect')]);
  const answer = answered(one);
  many.resume().write('GET /many HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_000));
  one.write('GET /one HTTP/1.1\r\nHost: x\r\n\r\n');
  await answer;
  const before = served.indexOf('/one');
  assert.ok(before < 100, `${before} before it`);
  many.destroy();
  one.destroy();
  await edge.stop();
});
