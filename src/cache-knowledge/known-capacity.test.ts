/** What an engine says of its cache, and what its answers show of it, bounds what is expected to be there. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { blocksFromHashIds } from '../routing/hash-ids.ts';
import type { PromptBlocks } from '../routing/blocks.ts';
import { PredictedIndex } from './predicted-index.ts';

const BLOCK_TOKENS = 16;
const DOCUMENT_BLOCKS = 250;

/** A long prompt that shares nothing with the others. */
function document(number: number): PromptBlocks {
  const ids = Array.from({ length: DOCUMENT_BLOCKS }, (_, block) => 1000 * number + block);
  return blocksFromHashIds(ids, BLOCK_TOKENS, DOCUMENT_BLOCKS * BLOCK_TOKENS);
}

function indexOf(capacity: number) {
  const clock = new VirtualClock();
  clock.advance(10_000);
  const index = new PredictedIndex({
    ...{ clock, maxBytes: 2 ** 22, maxBlocksPerWorker: 100_000, capacityOf: () => capacity },
  });
  return { clock, index };
}

/** An engine's own cache of so many blocks: what was used longest ago goes first, and of that the end. */
class Engine {
  readonly #most: number;
  #blocks: string[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** How many tokens of it were there. */
  serve({ hashes, count }: PromptBlocks): number {
    const keys = Array.from({ length: count }, (_, at) => `${hashes[2 * at]!}:${hashes[2 * at + 1]!}`);
    const there = new Set(this.#blocks);
    const missing = keys.findIndex((key) => !there.has(key));
    const own = new Set(keys);
    this.#blocks = [...keys, ...this.#blocks.filter((key) => !own.has(key))].slice(0, this.#most);
    return BLOCK_TOKENS * (missing < 0 ? count : missing);
  }
}

describe('documents that come round and round', () => {
  it('are not expected where the engine says that its cache is too small for them', () => {
    const { index } = indexOf(8192);
    for (let round = 0; round < 3; round++)
      for (let number = 0; number < 6; number++) {
        assert.ok(index.match(document(number), 0).tokens < 200);
        index.record(document(number), 0);
      }
    assert.ok(index.entriesOf(0) <= 8192 / BLOCK_TOKENS);
    assert.ok(index.match(document(5), 0).tokens > 3900);
  });

  it('take no more of it where they are noted by text and by tokens', () => {
    const { index } = indexOf(8192);
    for (let number = 0; number < 6; number++) {
      index.record(document(number), 0);
      index.record(document(100 + number), 0, 0, true);
    }
    assert.ok(index.match(document(5), 0).tokens > 3900);
    assert.ok(index.match(document(105), 0).tokens > 3900);
    assert.equal(index.match(document(3), 0).tokens, 0);
  });

  it('are not expected from the third round on where its answers alone show it', () => {
    const { clock, index } = indexOf(Infinity);
    const engine = new Engine(512);
    const errors: number[] = [];
    for (let round = 0; round < 5; round++)
      for (let number = 0; number < 6; number++) {
        clock.advance(1000);
        const blocks = document(number);
        const expected = index.match(blocks, 0).tokens;
        const usedAt = index.lastUse(blocks, 0);
        index.record(blocks, 0);
        const actual = engine.serve(blocks);
        if (actual < expected && usedAt !== undefined)
          index.learn({ kind: 'forgot', usedAt, blocks: blocks.count }, 0);
        if (round >= 2) errors.push(Math.abs(expected - actual));
      }
    assert.ok(Math.max(...errors) === 0, String(errors));
  });
});

describe('a worker that was thought to have forgotten', () => {
  it('is believed to keep more from then on, each time', () => {
    const { clock, index } = indexOf(Infinity);
    for (let number = 0; number < 4; number++) {
      index.record(document(number), 0);
      clock.advance(1000);
    }
    const usedAt = index.lastUse(document(0), 0)!;
    index.record(document(0), 0);
    index.learn({ kind: 'forgot', usedAt, blocks: DOCUMENT_BLOCKS }, 0);
    const before = index.entriesOf(0);
    for (let time = 0; time < 4; time++) index.learn({ kind: 'kept' }, 0);
    for (let number = 10; number < 30; number++) index.record(document(number), 0);
    assert.ok(index.entriesOf(0) > 1.5 * before, `${index.entriesOf(0)} after ${before}`);
  });

  it('starts anew where another one takes its place', () => {
    const { index } = indexOf(Infinity);
    index.record(document(0), 0);
    index.learn({ kind: 'forgot', usedAt: 2 ** 30, blocks: 0 }, 0);
    index.forget(0);
    for (let number = 0; number < 4; number++) index.record(document(number), 0);
    assert.equal(index.entriesOf(0), 4 * DOCUMENT_BLOCKS);
  });
});
