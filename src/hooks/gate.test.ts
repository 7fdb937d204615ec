import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Gate } from './gate.ts';

describe('a gate', () => {
  it('lets in as many as it has places, and the rest in the order they came', () => {
    const gate = new Gate(2);
    const inside: number[] = [];
    const leaves = [0, 1, 2, 3].map((n) => gate.enter(() => inside.push(n)));
    assert.deepEqual(inside, [0, 1]);
    leaves[1]?.();
    assert.deepEqual(inside, [0, 1, 2]);
    leaves[0]?.();
    leaves[2]?.();
    assert.deepEqual(inside, [0, 1, 2, 3]);
  });

  it('forgets who goes before their turn, and counts nobody twice', () => {
    const gate = new Gate(1);
    const inside: string[] = [];
    const first = gate.enter(() => inside.push('first'));
    const second = gate.enter(() => inside.push('second'));
    gate.enter(() => inside.push('third'));
    second();
    second();
    assert.deepEqual(inside, ['first']);
    first();
    first();
    assert.deepEqual(inside, ['first', 'third']);
    gate.enter(() => inside.push('fourth'));
    assert.deepEqual(inside, ['first', 'third'], 'the place that was left twice is one place');
  });

  it('survives a long line of visitors that go as soon as they have come', () => {
    const gate = new Gate(1);
    const first = gate.enter(() => undefined);
    let visits = 0;
    for (let n = 0; n < 100_000; n++) {
      const leave = gate.enter(() => {
        visits += 1;
        leave();
      });
    }
    first();
    assert.equal(visits, 100_000);
  });

  it('follows another number of places', () => {
    const gate = new Gate(1);
    let inside = 0;
    const leaves = [0, 1, 2].map(() => gate.enter(() => (inside += 1)));
    gate.reconfigure(3);
    assert.equal(inside, 3);
    gate.reconfigure(1);
    for (const leave of leaves.slice(0, 2)) leave();
    gate.enter(() => (inside += 1));
    assert.equal(inside, 3, 'one of those who came before is still inside');
    leaves[2]?.();
    assert.equal(inside, 4);
  });
});
