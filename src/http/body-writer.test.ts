import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { RawClient } from '../../test/support/raw-client.ts';
import { BodyWriter } from './body-writer.ts';

/** Serves pieces of these sizes and gives what a client reads of them, and how often the writer was full. */
async function served(
  sizes: readonly number[],
  {
    head = {},
    version = '1.1',
    times = 1,
  }: { head?: Record<string, string>; version?: string; times?: number },
) {
  let waits = 0;
  const server = createServer((_req, res) => {
    let at = 0;
    const go = (): void => {
      while (at < sizes.length) {
        at += 1;
        if (writer.write(pieceOf(sizes, at - 1))) continue;
        waits += 1;
        return;
      }
      res.end();
    };
    const writer = new BodyWriter(res, go);
    res.writeHead(200, head);
    go();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bodies: Buffer[] = [];
  try {
    await using client = await RawClient.connect((server.address() as AddressInfo).port);
    client.send(`GET / HTTP/${version}\r\nHost: x\r\n\r\n`.repeat(times));
    for (let turn = 0; turn < times; turn += 1) bodies.push((await client.response()).body);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  return { bodies, waits };
}

function pieceOf(sizes: readonly number[], index: number): Buffer {
  return Buffer.alloc(sizes[index] ?? 0, 97 + (index % 26));
}

function whole(sizes: readonly number[]): Buffer {
  return Buffer.concat(sizes.map((_, index) => pieceOf(sizes, index)));
}

const SIZES = [1, 15, 16, 17, 255, 256, 257, 4095, 4096, 65_535, 65_536, 1_048_575, 1_048_576, 3];

test('pieces of every size arrive whole, of pipelined answers too, and back-pressure is told', async () => {
  const { bodies, waits } = await served(SIZES, { times: 3 });
  assert.equal(bodies.length, 3);
  for (const body of bodies) assert.ok(body.equals(whole(SIZES)));
  assert.ok(waits > 0);
});

test('where a length was announced there are no chunks', async () => {
  const { bodies } = await served(SIZES, { head: { 'content-length': String(whole(SIZES).length) } });
  assert.ok(bodies[0]?.equals(whole(SIZES)));
});

test('a client of HTTP/1.0 gets no chunks', async () => {
  const { bodies } = await served(SIZES, { version: '1.0' });
  assert.ok(bodies[0]?.equals(whole(SIZES)));
});
