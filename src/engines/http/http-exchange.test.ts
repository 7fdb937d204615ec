import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { ResponseSink, WorkerRequest } from '../client.ts';
import type { Connection, ConnectionUser } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { HttpExchange } from './http-exchange.ts';

const sink: ResponseSink = {
  onConnected: () => undefined,
  onHead: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onFailure: () => assert.fail('it failed'),
  onUpgrade: () => undefined,
  onResent: () => undefined,
};

/** Sends one request on a socket that takes its time with what is written, or takes it at once. */
function sendOn(socket: Writable, body: Buffer): void {
  const connection = {
    carried: 0,
    // A stream that is written to is all of a socket that is used here.
    use: (user: ConnectionUser) => user.onConnect(socket as unknown as Socket),
  };
  // An exchange wants no more of its pool than this.
  const pool = {
    address: { authority: 'w:1', prefix: '' },
    take: () => connection as unknown as Connection,
  } as unknown as ConnectionPool;
  const request: WorkerRequest = { method: 'POST', path: '/', headers: ['a', 'b'], body, upgrade: undefined };
  new HttpExchange(request, pool, { maxHeadBytes: 1024, peer: 'worker' }, sink).start(request);
}

test('what a socket has not taken yet is not written over by the next request', () => {
  const held: Buffer[] = [];
  const left: string[] = [];
  const slow = (): Writable =>
    new Writable({
      write(bytes: Buffer, _encoding, callback) {
        held.push(bytes);
        setImmediate(callback);
      },
    });
  const quick = (): Writable =>
    new Writable({
      write(bytes: Buffer, _encoding, callback) {
        left.push(bytes.toString('latin1'));
        callback();
      },
    });
  const sent: string[] = [];
  for (const [index, size] of [5, 3_000, 16_000, 20_000, 0, 7].entries()) {
    const body = Buffer.alloc(size, String(index));
    sendOn(index % 2 === 0 ? slow() : quick(), body);
    sent.push(
      `POST / HTTP/1.1\r\nhost: w:1\r\nconnection: keep-alive\r\na: b\r\ncontent-length: ${size}\r\n\r\n${body.toString()}`,
    );
  }
  assert.deepEqual(
    held.map((bytes) => bytes.toString('latin1')).join('|'),
    [sent[0], sent[2], sent[4]].join('|'),
  );
  assert.equal(left.join(''), [sent[1], sent[3], sent[5]].join(''));
});
