import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Channel } from '../../base/channel.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import {
  MemoryAnswers,
  type SemanticBounds,
  type SemanticOutcome,
  type VectorHelper,
} from './memory-answers.ts';
import { VectorTable } from './vector-table.ts';

const BOUNDS: SemanticBounds = { threshold: 0.9, maxEntries: 3, maxBytes: 10_000, ttlMs: 1000 };
const EAST = Float32Array.of(1, 0);
const NORTH = Float32Array.of(0, 1);

/** In the place of the thread: the table itself, which answers when it is let. */
function bench(bounds: Partial<SemanticBounds> = {}) {
  const clock = new VirtualClock();
  const table = new VectorTable();
  const outcomes: SemanticOutcome[] = [];
  const state: { isSilent: boolean; isGone: boolean; helper?: VectorHelper } = {
    isSilent: false,
    isGone: false,
  };
  const channel = {
    post: ({ name }: { name: string }, body: unknown) => {
      if (name === 'vector:add') table.add(body as Parameters<VectorTable['add']>[0]);
      else for (const id of body as number[]) table.drop(id);
    },
    ask: (_kind: unknown, body: { partition: string; vector: Float32Array; threshold: number }) =>
      state.isSilent
        ? new Promise(() => undefined)
        : Promise.resolve(table.nearest(body.partition, body.vector, body.threshold)),
  } as unknown as Channel;
  const answers = new MemoryAnswers(
    { ...BOUNDS, ...bounds },
    {
      clock,
      startHelper: (helper) => {
        state.helper = helper;
        return {
          get channel() {
            return state.isGone ? undefined : channel;
          },
          replace: () => undefined,
          stop: () => Promise.resolve(),
        };
      },
      onLooked: (outcome) => outcomes.push(outcome),
    },
  );
  return { answers, clock, table, outcomes, state };
}

describe('answers by meaning', () => {
  it('are found by what is near enough in the same partition', async () => {
    const { answers, outcomes } = bench();
    answers.keep('a', EAST, Buffer.from('east'));
    const hit = await answers.find('a', Float32Array.of(0.95, 0.3122));
    assert.equal(hit?.value.toString(), 'east');
    assert.ok(hit.similarity > 0.9);
    assert.equal(await answers.find('a', NORTH), undefined);
    assert.equal(await answers.find('b', EAST), undefined);
    assert.deepEqual(outcomes, ['hit', 'miss', 'miss']);
  });

  it('are kept for a time, and the oldest go where there is no more room', async () => {
    const { answers, clock, table } = bench();
    for (const name of ['a', 'b', 'c', 'd']) {
      answers.keep(name, EAST, Buffer.from(name));
      clock.advance(100);
    }
    assert.deepEqual([answers.size.entries, table.size], [3, 3]);
    assert.equal(await answers.find('a', EAST), undefined);
    clock.advance(750);
    assert.equal(await answers.find('b', EAST), undefined);
    assert.equal((await answers.find('c', EAST))?.value.toString(), 'c');
    clock.advance(1000);
    await answers.find('d', EAST);
    assert.deepEqual([answers.size, table.size], [{ entries: 0, bytes: 0 }, 0]);
  });

  it('take no more bytes than they may, also when they may take less from now on', () => {
    const { answers, table } = bench({ maxBytes: 3000 });
    answers.keep('a', EAST, Buffer.alloc(3000));
    assert.equal(answers.size.entries, 0);
    answers.keep('a', EAST, Buffer.alloc(1000));
    answers.keep('b', EAST, Buffer.alloc(1000));
    assert.equal(answers.size.entries, 1);
    answers.reconfigure({ ...BOUNDS, maxBytes: 500 });
    assert.deepEqual([answers.size.entries, table.size], [0, 0]);
  });

  it('are not waited for where the thread does not say', async () => {
    const { answers, clock, state, outcomes } = bench();
    answers.keep('a', EAST, Buffer.from('east'));
    state.isSilent = true;
    const found = answers.find('a', EAST);
    clock.advance(100);
    assert.equal(await found, undefined);
    state.isGone = true;
    assert.equal(await answers.find('a', EAST), undefined);
    assert.deepEqual(outcomes, ['late', 'late']);
  });

  it('are forgotten with the thread, on an operator’s word, and at the end', async () => {
    const { answers, state } = bench();
    answers.keep('a', EAST, Buffer.from('east'));
    state.helper?.onEnded?.('fault');
    assert.equal(answers.size.entries, 0);
    for (const partition of [':m:1', 'tenant%3Aone:m:1', 'tenant%3Aone:n:1'])
      answers.keep(partition, EAST, Buffer.from('x'));
    assert.equal(answers.flush({ model: 'm', tenant: 'one' }), 1);
    assert.equal(answers.flush({ model: 'm', tenant: undefined }), 1);
    assert.equal(answers.flush({ model: undefined, tenant: undefined }), 1);
    await answers.close();
    answers.keep('a', EAST, Buffer.from('east'));
    assert.equal(answers.size.entries, 0);
  });
});
