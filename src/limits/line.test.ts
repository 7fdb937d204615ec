import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Line, type Link } from './line.ts';

it('keeps the order of arrival, whoever leaves', () => {
  const step = fc.record({ leave: fc.boolean(), which: fc.nat(100) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const line = new Line<number>();
      const links: Link<number>[] = [];
      for (const [value, { leave, which }] of steps.entries()) {
        const link = links[which % Math.max(1, links.length)];
        if (leave && link !== undefined) {
          line.remove(link);
          links.splice(links.indexOf(link), 1);
        } else links.push(line.append(value));
        assert.deepEqual(
          [line.first, line.last, line.size],
          [links[0]?.value, links.at(-1)?.value, links.length],
        );
      }
      for (const { value } of links) {
        assert.equal(line.first, value);
        const link = links.find((one) => one.value === value);
        if (link) line.remove(link);
      }
      assert.equal(line.size, 0);
    }),
    { numRuns: 200, seed: 5 },
  );
});
