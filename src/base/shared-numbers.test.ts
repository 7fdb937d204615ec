import assert from 'node:assert/strict';
import { it } from 'node:test';
import { SharedNumbers } from './shared-numbers.ts';

it('numbers keep their fractions and their size', () => {
  const numbers = new SharedNumbers(new SharedArrayBuffer(16));
  assert.equal(numbers.get(1), 0);
  for (const value of [0.1, -3.5e9, 2 ** 53 - 1, Infinity]) {
    numbers.set(1, value);
    assert.equal(numbers.get(1), value);
  }
  assert.equal(numbers.get(0), 0);
});

it('a change is made on what is there then, however often another was faster', () => {
  const region = new SharedArrayBuffer(8);
  const [one, other] = [new SharedNumbers(region), new SharedNumbers(region)];
  let asked = 0;
  const changed = one.change(0, (value) => {
    asked += 1;
    if (asked < 4) other.change(0, (theirs) => theirs + 10);
    return value + 0.5;
  });
  assert.deepEqual([changed, asked, one.get(0)], [true, 4, 30.5]);
  assert.equal(
    one.change(0, () => undefined),
    false,
  );
  assert.equal(one.get(0), 30.5);
});
