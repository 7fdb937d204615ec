import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../base/system-clock.ts';
import { ClientSeats } from './client-seats.ts';
import { EdgeServer } from './server.ts';

/** More than the kernel takes of an answer that nobody reads. */
const BODY = Buffer.alloc(24 * 1024 * 1024, 'x');

test('an answer that has been handed over whole reaches a slow client whole, though the router stops meanwhile', async () => {
  let handedOver: () => void;
  const handed = new Promise<void>((resolve) => (handedOver = resolve));
  const ignore = (): void => undefined;
  const edge = new EdgeServer(
    {
      ...{ host: '127.0.0.1', port: 0, maxHeaderSize: 16_384, headerTimeoutMs: 5_000, keepAliveMs: 5_000 },
      ...{ bodyIdleTimeoutMs: 5_000, maxPayloadSize: 1, maxInflightBodyBytes: 1, corsAllowedOrigins: [] },
      tls: undefined,
    },
    (_req, res) => {
      res.writeHead(200, 'OK', ['content-length', String(BODY.length)]);
      res.end(BODY);
      handedOver();
      return Promise.resolve();
    },
    { onRefused: ignore, onHandshakeFailure: ignore, onCertificate: ignore, onShortage: ignore },
    { seats: new ClientSeats(Infinity, systemClock), standing: Infinity },
  );
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
