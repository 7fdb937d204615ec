import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Heap, type HeapNode } from './heap.ts';

interface Item {
  key: number;
  readonly id: number;
}

it('has the least on top, however keys change and values leave', () => {
  const step = fc.record({
    do: fc.constantFrom('add', 'add', 'remove', 'change'),
    key: fc.nat(50),
    which: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const before = (left: Item, right: Item): boolean =>
        left.key < right.key || (left.key === right.key && left.id < right.id);
      const heap = new Heap<Item>(before);
      const nodes: HeapNode<Item>[] = [];
      for (const [id, { do: what, key, which }] of steps.entries()) {
        const place = which % Math.max(1, nodes.length);
        const node = nodes[place];
        if (what === 'add' || node === undefined) nodes.push(heap.add({ key, id }));
        else if (what === 'remove') {
          heap.remove(node);
          nodes.splice(place, 1);
        } else {
          node.value.key = key;
          heap.moved(node);
        }
        const least = nodes
          .map(({ value }) => value)
          .sort((left, right) => (before(left, right) ? -1 : 1))
          .at(0);
        assert.equal(heap.top, least);
        assert.equal(heap.size, nodes.length);
      }
    }),
    { numRuns: 200, seed: 5 },
  );
});
