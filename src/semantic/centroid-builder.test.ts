import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { CentroidBuilder, type ClusterProgress } from './centroid-builder.ts';
import { nearestOf } from './centroids.ts';
import type { Embedding } from './embedder.ts';

const clustersOf = (clusters: Readonly<Record<string, readonly string[]>>) => ({
  ...{ threshold: 0.5, within: 'policy' as const, timeoutMs: 500 },
  clusters: Object.entries(clusters).map(([name, examples]) => ({
    ...{ name, examples, prefixes: [], ids: [], labels: {} },
  })),
});

const vector = (...values: number[]): Embedding => ({ kind: 'vector', vector: Float32Array.from(values) });
const failed = (why: 'timeout' | 'refused'): Embedding => ({
  kind: 'failed',
  why,
  message: `it is a ${why}`,
});

function bench(said: Record<string, Embedding>) {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const progress: ClusterProgress[] = [];
  const retries: number[] = [];
  const builder = new CentroidBuilder({
    clock,
    embed: (text) => {
      asked.push(text);
      return Promise.resolve(said[text] ?? failed('timeout'));
    },
    events: {
      progress: (of) => progress.push(of),
      retry: (_missing, inMs) => retries.push(inMs),
      changed: () => undefined,
    },
  });
  const settled = async (): Promise<void> => {
    for (let at = 0; at < 5; at++) await turn();
  };
  return { builder, clock, asked, progress, retries, said, settled };
}

describe('the middles of clusters', () => {
  it('are the directions of the means of their examples', async () => {
    const { builder, settled, progress } = bench({ a: vector(1, 0), b: vector(0, 1), c: vector(-1, 0) });
    builder.reconfigure(clustersOf({ ab: ['a', 'b'], c: ['c'] }), true);
    await settled();
    const [ab] = builder.centroids;
    assert.deepEqual(ab?.vector, Float32Array.of(Math.SQRT1_2, Math.SQRT1_2));
    assert.equal(nearestOf(builder.centroids, Float32Array.of(-0.8, 0.6))?.name, 'c');
    assert.equal(nearestOf(builder.centroids, Float32Array.of(1, 0, 0)), undefined);
    assert.deepEqual(
      progress.map(({ cluster, embedded }) => [cluster, embedded]),
      [
        ['ab', 2],
        ['c', 1],
      ],
    );
  });

  it('leave out examples that are refused, and clusters that have none or whose examples cancel each other out', async () => {
    const { builder, settled, asked, retries, progress } = bench({
      ...{ a: vector(1, 0), long: failed('refused'), up: vector(0, 1), down: vector(0, -1) },
    });
    builder.reconfigure(clustersOf({ a: ['a', 'long'], none: ['long'], flat: ['up', 'down'] }), true);
    await settled();
    assert.deepEqual(
      builder.centroids.map(({ name }) => name),
      ['a'],
    );
    assert.deepEqual(retries, []);
    assert.equal(asked.filter((text) => text === 'long').length, 1);
    assert.equal(progress[0]?.problem, 'it is a refused');
  });

  it('are asked for again with longer and longer pauses while the embedder is away', async () => {
    const { builder, settled, clock, said, retries } = bench({});
    builder.reconfigure(clustersOf({ a: ['a'] }), true);
    for (const pause of [1000, 2000, 4000]) {
      await settled();
      assert.equal(retries.at(-1), pause);
      clock.advance(pause);
    }
    await settled();
    said['a'] = vector(1);
    clock.advance(8000);
    await settled();
    assert.equal(builder.centroids.length, 1);
    assert.equal(retries.length, 4);
  });

  it('stay in force while others are found, and keep the vectors of examples that stay', async () => {
    const { builder, settled, asked, said } = bench({ a: vector(1, 0) });
    builder.reconfigure(clustersOf({ a: ['a'] }), true);
    await settled();
    said['b'] = vector(0, 1);
    builder.reconfigure(clustersOf({ b: ['a', 'b'] }), true);
    assert.deepEqual(
      builder.centroids.map(({ name }) => name),
      ['a'],
    );
    await settled();
    assert.deepEqual(
      builder.centroids.map(({ name }) => name),
      ['b'],
    );
    assert.deepEqual(asked, ['a', 'b']);
  });

  it('are forgotten with another model, and when nobody wants them any more', async () => {
    const { builder, settled, asked, said } = bench({ a: vector(1, 0) });
    builder.reconfigure(clustersOf({ a: ['a'] }), true);
    await settled();
    said['a'] = vector(1, 0, 0);
    builder.otherSpace(2);
    assert.equal(asked.length, 1);
    builder.otherSpace(3);
    assert.equal(builder.centroids.length, 0);
    await settled();
    assert.equal(builder.centroids[0]?.vector.length, 3);
    builder.reconfigure(undefined, true);
    assert.equal(builder.centroids.length, 0);
  });
});
