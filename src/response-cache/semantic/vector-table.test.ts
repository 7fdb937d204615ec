import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../base/random.ts';
import { VectorTable, type NearestVector } from './vector-table.ts';

const random = seededRandom(7);

function direction(dimensions: number): Float32Array {
  const values = Float32Array.from({ length: dimensions }, () => random() - 0.5);
  const length = Math.hypot(...values);
  return values.map((value) => value / length);
}

function near(left: Float32Array, right: Float32Array): number {
  let sum = 0;
  for (const [at, value] of left.entries()) sum += value * right[at]!;
  return sum;
}

describe('the table of vectors', () => {
  it('finds what is nearest of the partition, whatever has been added and dropped before', () => {
    const steps = fc.array(
      fc.record({ id: fc.nat(30), partition: fc.constantFrom('a', 'b'), drop: fc.boolean() }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 40 }), (done, dimensions) => {
        const table = new VectorTable();
        const kept = new Map<number, { partition: string; vector: Float32Array }>();
        for (const { id, partition, drop } of done) {
          if (drop) {
            table.drop(id);
            kept.delete(id);
          } else {
            const vector = direction(dimensions);
            table.add({ id, partition, vector });
            kept.set(id, { partition, vector });
          }
        }
        assert.equal(table.size, kept.size);
        const wanted = direction(dimensions);
        let expected: NearestVector | undefined;
        for (const [id, { partition, vector }] of kept) {
          const similarity = near(wanted, vector);
          if (partition === 'a' && similarity >= (expected?.similarity ?? 0)) expected = { id, similarity };
        }
        const found = table.nearest('a', wanted, 0);
        assert.ok(Math.abs((found?.similarity ?? 0) - (expected?.similarity ?? 0)) < 1e-5);
        if (dimensions > 1) assert.equal(found?.id, expected?.id);
      }),
      { numRuns: 50 },
    );
  });

  it('finds nothing below the threshold, in another partition, or for a vector of other dimensions', () => {
    const table = new VectorTable();
    table.add({ id: 1, partition: 'a', vector: Float32Array.of(1, 0) });
    const looked = Float32Array.of(0.8, 0.6);
    assert.equal(table.nearest('a', looked, 0.81), undefined);
    assert.equal(table.nearest('b', looked, 0), undefined);
    assert.equal(table.nearest('a', Float32Array.of(1, 0, 0), 0), undefined);
    const found = table.nearest('a', looked, 0.79);
    assert.equal(found?.id, 1);
    assert.ok(Math.abs(found.similarity - 0.8) < 1e-6);
  });

  it('takes the later one of two that are as near, and begins anew with vectors of other dimensions', () => {
    const table = new VectorTable();
    const vector = Float32Array.of(0, 1);
    table.add({ id: 1, partition: 'a', vector });
    table.add({ id: 2, partition: 'a', vector });
    assert.equal(table.nearest('a', vector, 0.9)?.id, 2);
    table.add({ id: 3, partition: 'a', vector: Float32Array.of(0, 0, 1) });
    assert.equal(table.nearest('a', vector, 0.9), undefined);
    assert.equal(table.size, 1);
    table.clear();
    assert.deepEqual([table.size, table.bytes], [0, 0]);
  });

  it('looks through 10,000 entries of 1,024 in about 2 ms', (t) => {
    const table = new VectorTable();
    const vectors = Array.from({ length: 50 }, () => direction(1024));
    for (let id = 0; id < 10_000; id++) table.add({ id, partition: 'a', vector: vectors[id % 50]! });
    const wanted = direction(1024);
    const took: number[] = [];
    for (let round = 0; round < 40; round++) {
      const from = performance.now();
      table.nearest('a', wanted, 0.95);
      took.push(performance.now() - from);
    }
    took.sort((left, right) => left - right);
    t.diagnostic(`fastest ${took[0]?.toFixed(2)} ms, median ${took[20]?.toFixed(2)} ms`);
    // The fastest: what else the machine has to do is no matter of the table. In JavaScript it is above 9.
    assert.ok(took[0]! < 4, `${took[0]} ms`);
  });
});
