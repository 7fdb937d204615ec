import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, prompt } from '../../test/support/pool.ts';
import { ColdOrder } from './cold-order.ts';

const dispatched = (slot: number, matchedTokens: number, tokens = 100) =>
  ({ type: 'dispatched', ask: askFor(prompt(tokens)), slot, matchedTokens }) as const;

describe('ColdOrder', () => {
  it('orders workers by their last cold prompt, the ones without any first', () => {
    const order = new ColdOrder();
    order.observe(dispatched(2, 0));
    order.observe(dispatched(0, 0));
    order.observe(dispatched(2, 0));
    assert.deepEqual(
      [0, 1, 2, 3].sort((a, b) => order.turnOf(a) - order.turnOf(b)),
      [1, 3, 0, 2],
    );
  });

  it('takes a prompt for warm only when more than half of it was cached', () => {
    const order = new ColdOrder();
    order.observe(dispatched(0, 51));
    assert.equal(order.turnOf(0), 0);
    order.observe(dispatched(0, 50));
    assert.equal(order.turnOf(0), 1);
  });

  it('forgets a worker that left', () => {
    const order = new ColdOrder();
    order.observe(dispatched(1, 0));
    order.observe({ type: 'left', slot: 1 });
    order.observe({ type: 'left', slot: 1000 });
    assert.equal(order.turnOf(1), 0);
  });
});
