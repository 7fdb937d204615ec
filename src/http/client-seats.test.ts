import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { ClientSeats } from './client-seats.ts';

interface Fake extends EventEmitter {
  closed: boolean;
}

function socket(): Socket & Fake {
  const fake = Object.assign(new EventEmitter(), {
    closed: false,
    destroy: () => {
      fake.closed = true;
      fake.emit('close');
    },
  });
  // As much of a socket as the seats look at.
  return fake as unknown as Socket & Fake;
}

const nobody = (): boolean => false;

describe('seats', () => {
  it('are taken as far as there are any; who stands takes the next that is free', () => {
    const seats = new ClientSeats(1, new VirtualClock());
    const [first, second] = [socket(), socket()];
    seats.arrive(first, nobody);
    seats.arrive(second, nobody);
    assert.deepEqual([seats.claim(first), seats.claim(second), seats.taken], [true, false, 1]);
    first.destroy();
    assert.deepEqual([seats.taken, seats.claim(second), seats.taken], [0, true, 1]);
    second.destroy();
    assert.equal(seats.taken, 0);
  });

  it('an idle connection makes room for the one that comes, or for one that was turned away', () => {
    const clock = new VirtualClock();
    const seats = new ClientSeats(1, clock);
    const [idle, next, standing] = [socket(), socket(), socket()];
    seats.arrive(idle, nobody);
    seats.arrive(next, (one) => one === idle);
    assert.deepEqual([idle.closed, seats.claim(next), seats.taken], [true, true, 1]);
    seats.arrive(standing, nobody);
    seats.makeRoom((one) => one === standing);
    // A search that found nobody is believed for a moment.
    assert.equal(standing.closed, false);
    clock.advance(100);
    seats.makeRoom((one) => one === standing);
    assert.deepEqual([standing.closed, seats.taken], [true, 1]);
    seats.makeRoom((one) => one === next);
    assert.deepEqual([next.closed, seats.taken], [true, 0]);
  });

  it('are followed by so much room to stand in, of all threads too; who is beyond is turned away', () => {
    const clock = new VirtualClock();
    const memory = new SharedMemory(1);
    const control = new ClientSeats(1, clock, memory, 2);
    const joined = new JoinedMemory(memory.regions, { rows: 2, self: 1 });
    const seats = new ClientSeats(9, clock, joined, 9);
    const [seated, first, second, third] = [socket(), socket(), socket(), socket()];
    assert.deepEqual([control.arrive(seated, nobody), seats.arrive(first, nobody)], [true, true]);
    assert.deepEqual([seats.arrive(second, nobody), seats.arrive(third, nobody)], [true, false]);
    first.destroy();
    assert.deepEqual([seats.arrive(third, nobody), seats.arrive(socket(), nobody)], [true, false]);
    seated.destroy();
    assert.deepEqual([seats.claim(third), seats.arrive(socket(), nobody)], [true, true]);
    control.reclaim(1);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => control.arrive(socket(), nobody)),
      [true, true, true, false],
    );
  });

  it('are those of all threads; each makes room by its own, and those of one that died are free', () => {
    const clock = new VirtualClock();
    const memory = new SharedMemory(2);
    const control = new ClientSeats(2, clock, memory);
    const [one, other] = [1, 2].map(
      (self) => new ClientSeats(9, clock, new JoinedMemory(memory.regions, { rows: 3, self })),
    );
    assert.ok(one && other);
    const [first, second, third, fourth] = [socket(), socket(), socket(), socket()];
    one.arrive(first, nobody);
    other.arrive(second, nobody);
    assert.deepEqual([one.taken, control.taken, one.limit], [2, 2, 2]);
    assert.deepEqual([one.takenHere, control.takenHere], [1, 0]);
    other.arrive(third, (connection) => connection === first);
    assert.deepEqual([first.closed, other.claim(third)], [false, false]);
    clock.advance(100);
    other.arrive(fourth, (connection) => connection === second);
    assert.deepEqual([second.closed, other.claim(fourth), other.takenHere], [true, true, 1]);
    control.reclaim(1);
    assert.deepEqual([other.claim(third), other.taken], [true, 2]);
    for (const connection of [third, fourth]) connection.destroy();
    assert.equal(other.taken, 0);
    for (const isSeated of [true, true, false]) {
      const connection = socket();
      control.arrive(connection, nobody);
      assert.equal(control.claim(connection), isSeated);
    }
  });
});
