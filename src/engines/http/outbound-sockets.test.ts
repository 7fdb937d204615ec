import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { JoinedMemory, SharedMemory, type ThreadMemory } from '../../base/thread-memory.ts';
import { OutboundSockets, type Opener } from './outbound-sockets.ts';
import { toFailure } from './transport-failure.ts';

function errorWith(code: string, more: object = {}): Error {
  return Object.assign(new Error(code), { code, ...more });
}

/** Sockets that open at once, or fail as the test says. */
function start(limit?: number, memory?: ThreadMemory) {
  let shortages = 0;
  const sockets = new OutboundSockets(limit, () => (shortages += 1), memory);
  const opened: (EventEmitter & { closed: boolean })[] = [];
  const failures: Error[] = [];
  const opener: Opener = (done) => {
    const failure = failures.shift();
    if (failure) {
      done(failure, null);
      return;
    }
    const socket = Object.assign(new EventEmitter(), { closed: false });
    opened.push(socket);
    done(null, socket as unknown as Socket);
  };
  const connect = (reserved = false): string => {
    let result = '';
    sockets.connect(opener, reserved, (error) => {
      result = error ? toFailure(error, false).code : 'open';
    });
    return result;
  };
  return { sockets, opened, failures, connect, shortages: () => shortages };
}

describe('the limit', () => {
  it('holds for requests, not for what the router asks itself', () => {
    const { connect, sockets, opened, shortages } = start(2);
    assert.deepEqual([connect(), connect(), connect()], ['open', 'open', 'out_of_sockets']);
    assert.equal(shortages(), 1);
    assert.equal(connect(true), 'open');
    assert.equal(sockets.open, 2);
    opened[0]?.emit('close');
    assert.equal(sockets.open, 1);
    assert.equal(connect(), 'open');
  });

  it('makes room by the connection that has been idle longest', () => {
    const { connect, sockets, opened, shortages } = start(2);
    connect();
    connect();
    const dropped: number[] = [];
    for (const index of [0, 1])
      sockets.idle({ drop: () => (opened[index]?.emit('close'), dropped.push(index) > 0) });
    assert.equal(connect(), 'open');
    assert.deepEqual([dropped, shortages(), sockets.open], [[0], 0, 2]);
  });

  it('leaves alone what is in use again', () => {
    const { connect, sockets } = start(1);
    connect();
    const connection = { drop: () => assert.fail('it was in use') };
    sockets.idle(connection);
    sockets.notIdle(connection);
    assert.equal(connect(), 'out_of_sockets');
    sockets.idle({ drop: () => false });
    assert.equal(connect(), 'out_of_sockets');
  });

  it('counts nothing for a connection that failed', () => {
    const { connect, sockets, failures } = start(1);
    failures.push(errorWith('ECONNREFUSED'), errorWith('EMFILE'));
    assert.deepEqual([connect(), connect()], ['connect_failed', 'out_of_sockets']);
    assert.equal(sockets.open, 0);
    assert.equal(connect(), 'open');
  });
});

describe('the limit of several threads', () => {
  it('is one, and each makes room by its own', () => {
    const memory = new SharedMemory(2);
    const control = start(2, memory);
    const [one, other] = [1, 2].map((self) => start(9, new JoinedMemory(memory.regions, { rows: 3, self })));
    assert.ok(one && other);
    assert.deepEqual([one.connect(), other.connect(), one.connect()], ['open', 'open', 'out_of_sockets']);
    other.sockets.idle({ drop: () => (other.opened[0]?.emit('close'), true) });
    assert.equal(one.connect(), 'out_of_sockets');
    assert.equal(other.connect(), 'open');
    assert.deepEqual([one.sockets.open, control.sockets.open, one.sockets.limit], [2, 2, 2]);
    control.sockets.reclaim(2);
    assert.deepEqual([one.connect(), one.connect(), one.sockets.open], ['open', 'out_of_sockets', 2]);
    for (const socket of one.opened) socket.emit('close');
    assert.deepEqual(
      [control.connect(), control.connect(), control.connect()],
      ['open', 'open', 'out_of_sockets'],
    );
  });
});

describe('what the system says', () => {
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'EADDRNOTAVAIL'])
    it(`${code} is the router’s own trouble`, () => {
      const { connect, failures, shortages } = start();
      failures.push(errorWith(code), errorWith(code));
      assert.deepEqual([connect(), connect(true)], ['out_of_sockets', 'out_of_sockets']);
      assert.equal(shortages(), 2);
    });

  it('an idle connection is given up for one that the system would not give', () => {
    const { connect, sockets, failures, shortages } = start();
    failures.push(errorWith('EMFILE'));
    sockets.idle({ drop: () => true });
    assert.equal(connect(true), 'open');
    assert.equal(shortages(), 0);
  });

  it('of several addresses one that was really asked decides', () => {
    const { connect, failures } = start();
    failures.push(
      new AggregateError([errorWith('EADDRNOTAVAIL'), errorWith('ECONNREFUSED')]),
      new AggregateError([errorWith('EMFILE'), errorWith('EMFILE')]),
    );
    assert.deepEqual([connect(), connect()], ['connect_failed', 'out_of_sockets']);
  });

  it('a name that does not exist is the worker’s trouble while files can be opened', () => {
    const { connect, failures } = start();
    failures.push(errorWith('ENOTFOUND', { syscall: 'getaddrinfo' }));
    assert.equal(connect(), 'connect_failed');
  });
});
