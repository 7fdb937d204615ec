import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { askFor, prompt } from '../../test/support/pool.ts';
import { randomInt, seededRandom } from '../base/random.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { PromptBlocks } from '../routing/blocks.ts';
import { blocksFromHashIds } from '../routing/hash-ids.ts';
import { PredictedIndex, noCache, type PredictedIndexOptions } from './predicted-index.ts';

fc.configureGlobal({ seed: 7 });

function indexOf(options: Partial<PredictedIndexOptions> = {}): PredictedIndex {
  return new PredictedIndex({
    maxBytes: 2 ** 20,
    maxBlocksPerWorker: 10_000,
    clock: new VirtualClock(),
    ...options,
  });
}

/** Blocks held for the slot: a prompt of 16-token blocks matches 16 tokens for each. */
const held = (index: PredictedIndex, blocks: PromptBlocks, slot: number): number =>
  index.match(blocks, slot).tokens / 16;

describe('PredictedIndex', () => {
  it('matches the common prefix, on the worker it was recorded for', () => {
    const index = indexOf();
    index.record(blocksFromHashIds([1, 2, 3, 4], 16, 70), 0);
    const other = blocksFromHashIds([1, 2, 8, 9], 16, 64);
    assert.deepEqual(index.match(other, 0), { tokens: 32, source: 'predicted' });
    assert.deepEqual(index.match(other, 1), { tokens: 0, source: 'predicted' });
    assert.equal(index.entriesOf(0), 4);
    assert.equal(index.entries, 4);
  });

  it('finds matches of every length', () => {
    const index = indexOf();
    const long = prompt(16 * 100);
    for (let blocks = 0; blocks <= 100; blocks++) {
      index.forget(0);
      const ids = Array.from({ length: blocks }, (_, block) => 100_000 + block);
      index.record(blocksFromHashIds(ids, 16, 16 * blocks), 0);
      assert.equal(held(index, long, 0), blocks);
    }
  });

  it('never promises more tokens than the prompt has, and whole tokens only', () => {
    const index = indexOf();
    const blocks: PromptBlocks = { ...prompt(160), tokensPerBlock: 25.6, totalTokens: 250, estimated: true };
    index.record(blocks, 0);
    assert.equal(index.match(blocks, 0).tokens, 250);
    assert.equal(index.match({ ...blocks, count: 3 }, 0).tokens, 76);
  });

  it('forgets a worker at once, and its slot starts empty for the next one', () => {
    const index = indexOf();
    index.record(prompt(320), 3);
    index.record(prompt(160), 4);
    index.forget(3);
    assert.equal(held(index, prompt(320), 3), 0);
    assert.equal(held(index, prompt(160), 4), 10);
    assert.deepEqual([index.entries, index.entriesOf(3), index.entriesOf(4)], [10, 0, 10]);
    index.record(prompt(32), 3);
    assert.equal(held(index, prompt(320), 3), 2);
    index.forget(99);
  });

  it('reuses the memory of workers that left before it takes more or evicts', () => {
    const index = indexOf();
    index.record(prompt(16 * 500, 1), 0);
    index.record(prompt(16 * 500, 2), 1);
    const bytes = index.bytes;
    index.forget(0);
    index.record(prompt(16 * 500, 3), 2);
    assert.equal(index.bytes, bytes);
    assert.equal(held(index, prompt(16 * 500, 2), 1), 500);
    for (let round = 0; round < 200; round++) {
      index.forget(2);
      index.record(prompt(16 * 500, round), 2);
    }
    assert.equal(index.bytes, bytes);
  });

  it('keeps a worker within its share, evicting its own least recently used blocks from the tail', () => {
    const index = indexOf({ maxBlocksPerWorker: 100 });
    index.record(prompt(16 * 50, 9), 1);
    index.record(prompt(16 * 60, 1), 0);
    index.record(prompt(16 * 60, 2), 0);
    assert.equal(index.entriesOf(0), 100);
    assert.equal(held(index, prompt(16 * 60, 1), 0), 40);
    assert.equal(held(index, prompt(16 * 60, 2), 0), 60);
    assert.equal(held(index, prompt(16 * 50, 9), 1), 50);
    index.record(prompt(16 * 500, 3), 0);
    assert.equal(held(index, prompt(16 * 500, 3), 0), 100);
  });

  it('never exceeds its bytes, and then evicts what was used longest ago anywhere', () => {
    const index = indexOf({ maxBytes: 64 * 1024 });
    for (let id = 0; id < 200; id++) {
      index.record(prompt(16 * 100, id), id % 7);
      assert.ok(index.bytes <= 64 * 1024, `${index.bytes}`);
    }
    assert.equal(held(index, prompt(16 * 100, 199), 199 % 7), 100);
    assert.equal(held(index, prompt(16 * 100, 0), 0), 0);
    assert.ok(index.entries > 1400, `${index.entries} entries in 64 KiB`);
    index.record(prompt(16 * 100_000, 1000), 0);
    assert.ok(index.bytes <= 64 * 1024);
    assert.equal(held(index, prompt(16 * 100_000, 1000), 0), index.entries);
  });

  it('tells what was used lately from what was not, which are the leading blocks', () => {
    const clock = new VirtualClock();
    const index = new PredictedIndex({ maxBytes: 2 ** 16, maxBlocksPerWorker: 100, clock });
    index.record(prompt(320), 0);
    clock.advance(3000);
    index.record(prompt(160), 0);
    clock.advance(500);
    const recent = (withinMs: number): number => index.recent(prompt(320), 0, withinMs);
    assert.deepEqual([recent(100), recent(1000), recent(3000), recent(4000)], [0, 160, 160, 320]);
    assert.equal(index.recent(prompt(320), 1, 4000), 0);
  });

  it('drops idle entries in the sweep, and nothing that was used since', () => {
    const clock = new VirtualClock();
    const index = indexOf({ clock, idleMs: 60_000 });
    index.record(prompt(160, 1), 0);
    index.record(prompt(160, 2), 0);
    clock.advance(50_000);
    index.record(prompt(80, 2), 0);
    assert.equal(index.sweep(), false);
    assert.equal(index.entries, 20);
    clock.advance(20_000);
    assert.equal(index.sweep(), false);
    assert.equal(held(index, prompt(160, 1), 0), 0);
    assert.equal(held(index, prompt(160, 2), 0), 5);
    assert.equal(index.entries, 5);
  });

  it('sweeps in bites', () => {
    const index = indexOf({ maxBytes: 4 * 2 ** 20, maxBlocksPerWorker: 50_000 });
    index.record(prompt(16 * 45_000), 0);
    index.forget(0);
    assert.deepEqual([index.sweep(), index.sweep(), index.sweep()], [true, true, false]);
    index.record(prompt(16 * 45_000), 0);
    assert.equal(index.entriesOf(0), 45_000);
  });

  it('refuses a budget that holds nothing', () => {
    for (const maxBytes of [0, 1023, -1, NaN]) assert.throws(() => indexOf({ maxBytes }), RangeError);
    const smallest = indexOf({ maxBytes: 1024 });
    smallest.record(prompt(16 * 1000), 0);
    assert.ok(smallest.entries > 5 && smallest.bytes <= 1024);
    const off = indexOf({ maxBlocksPerWorker: 0 });
    off.record(prompt(160), 0);
    assert.equal(off.entries, 0);
  });

  for (const maxBytes of [1024, 16 * 1024])
    it(`stays right over many evictions and crowded buckets, in ${maxBytes} bytes`, () => {
      const index = indexOf({ maxBytes });
      const random = seededRandom(5);
      const block = (id: number): PromptBlocks => blocksFromHashIds([id], 16, 16);
      /** Insertion order is order of use. */
      const uses = new Set<string>();
      let capacity = Infinity;
      for (let step = 0; step < 6000; step++) {
        const id = randomInt(random, 40);
        const slot = randomInt(random, 60);
        index.record(block(id), slot);
        uses.delete(`${id}:${slot}`);
        uses.add(`${id}:${slot}`);
        if (index.entries < uses.size) {
          capacity = Math.min(capacity, index.entries);
          const [oldest] = uses;
          uses.delete(oldest!);
        }
        assert.equal(index.entries, uses.size);
        const probe = `${randomInt(random, 40)}:${randomInt(random, 60)}`;
        const [otherId, otherSlot] = probe.split(':').map(Number) as [number, number];
        assert.equal(held(index, block(otherId), otherSlot) === 1, uses.has(probe));
      }
      assert.ok(capacity >= 0.85 * (maxBytes / 40), `${capacity} entries`);
    });

  it('behaves like a plain list ordered by last use, and stays closed under prefixes', () => {
    fc.assert(
      fc.property(commands, fc.integer({ min: 3, max: 30 }), (steps, perWorker) => compare(steps, perWorker)),
      {
        numRuns: 150,
      },
    );
  });
});

describe('a look at all workers at once', () => {
  const SLOTS = 70;
  const slots = Int32Array.from({ length: SLOTS }, (_, slot) => slot);

  function assertAlike(index: PredictedIndex, blocks: PromptBlocks): void {
    const { rows, tokens } = index.matchAll(blocks, SLOTS);
    assert.deepEqual(
      Float64Array.from(slots, (slot) => tokens[rows[slot]!]!),
      Float64Array.from(slots, (slot) => index.match(blocks, slot).tokens),
    );
  }

  it('shows what one look at each would', () => {
    const index = indexOf();
    for (let slot = 0; slot < SLOTS; slot++) index.record(prompt(16 * (slot % 9), 1), slot);
    index.record(prompt(16 * 300, 1), 2);
    for (const blocks of [0, 1, 4, 8, 9, 250, 400]) assertAlike(index, prompt(16 * blocks, 1));
    assertAlike(index, prompt(16 * 8, 2));
  });

  for (const maxBytes of [2 ** 12, 2 ** 15, 2 ** 20])
    it(`does so whatever is recorded, evicted, forgotten and moved, in ${maxBytes} bytes`, () => {
      const random = seededRandom(maxBytes);
      const clock = new VirtualClock();
      const index = indexOf({ maxBytes, clock, idleMs: 600_000, maxBlocksPerWorker: 200 });
      // A walk in a tree: beginnings are shared by many, ends by few.
      const walk = (): PromptBlocks => {
        const ids = [randomInt(random, 2)];
        const length = 1 + randomInt(random, 30);
        while (ids.length < length) ids.push(10 * ids.at(-1)! + Math.floor(4 * random() ** 4));
        return blocksFromHashIds(
          ids.map((id) => id % 1e12),
          16,
          16 * length,
        );
      };
      for (let step = 0; step < 2500; step++) {
        const slot = randomInt(random, SLOTS);
        const kind = randomInt(random, 200);
        if (kind < 2) index.forget(slot);
        else if (kind < 4) index.sweep();
        else if (kind === 4) clock.advance(60_000);
        else if (kind === 5)
          index.reconfigure({ maxBytes: maxBytes << randomInt(random, 2), maxBlocksPerWorker: 200 });
        else index.record(walk(), slot);
        if (step % 5 === 0) assertAlike(index, walk());
      }
    });
});

describe('noCache', () => {
  it('knows nothing', () => {
    assert.deepEqual(noCache.match(askFor(prompt(100)), 0), { tokens: 0, source: 'none' });
  });
});

type Step =
  | { kind: 'record' | 'match'; path: number[]; slot: number }
  | { kind: 'forget'; slot: number }
  | { kind: 'sweep'; after: number };

/** Prompts are walks in a tree with few branches, so that they share prefixes of all lengths. */
const path = fc.array(fc.nat(2), { minLength: 1, maxLength: 12 });
const slot = fc.nat(3);
const commands: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ kind: fc.constantFrom('record' as const, 'match' as const), path, slot }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), slot }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const), after: fc.nat(40_000) }) },
  ),
  { maxLength: 60 },
);

const IDLE_MS = 60_000;
/** Entries that the smallest budget holds: found by filling one. */
const CAPACITY = (() => {
  const index = indexOf({ maxBytes: 1024 });
  index.record(prompt(16 * 1000), 0);
  return index.entries;
})();

function compare(steps: readonly Step[], perWorker: number): void {
  const clock = new VirtualClock();
  const index = indexOf({ maxBytes: 1024, maxBlocksPerWorker: perWorker, clock, idleMs: IDLE_MS });
  // Oldest first: the naive truth.
  let list: { slot: number; name: string; at: number }[] = [];
  const evict = (slot: number): void => {
    const own = list.filter((entry) => entry.slot === slot);
    if (own.length >= perWorker) list.splice(list.indexOf(own[0]!), 1);
    if (list.length >= CAPACITY) list.shift();
  };
  for (const step of steps) {
    if (step.kind === 'forget') {
      index.forget(step.slot);
      list = list.filter((entry) => entry.slot !== step.slot);
    } else if (step.kind === 'sweep') {
      clock.advance(step.after);
      index.sweep();
      const since = Math.floor((clock.now() - IDLE_MS) / 1000);
      while (list[0] && Math.floor(list[0].at / 1000) < since) list.shift();
    } else {
      const blocks = blocksFromHashIds(step.path, 16, 16 * step.path.length);
      const names = step.path.map((_, i) => step.path.slice(0, i + 1).join('.'));
      if (step.kind === 'record') {
        index.record(blocks, step.slot);
        for (const name of names.slice(0, Math.min(perWorker, CAPACITY)).reverse()) {
          const at = list.findIndex((entry) => entry.slot === step.slot && entry.name === name);
          if (at >= 0) list.splice(at, 1);
          else evict(step.slot);
          list.push({ slot: step.slot, name, at: clock.now() });
        }
      }
      const has = names.map((name) => list.some((entry) => entry.slot === step.slot && entry.name === name));
      const expected = has.indexOf(false) < 0 ? has.length : has.indexOf(false);
      assert.equal(has.lastIndexOf(true), expected - 1, 'closed under prefixes');
      assert.equal(held(index, blocks, step.slot), expected);
    }
    assert.equal(index.entries, list.length);
    for (let slot = 0; slot < 4; slot++) {
      assert.equal(index.entriesOf(slot), list.filter((entry) => entry.slot === slot).length);
    }
    assert.ok(index.bytes <= 1024);
  }
}

describe('other bounds', () => {
  /** Prompt number `n`: four blocks of its own behind four that all share. */
  const numbered = (n: number): PromptBlocks =>
    blocksFromHashIds([1, 2, 3, 4, ...[0, 1, 2, 3].map((block) => 1000 + 4 * n + block)], 16, 128);
  const sweepAll = (index: PredictedIndex): void => {
    while (index.sweep());
  };

  it('move everything into a larger table, and predictions never stop', () => {
    const index = indexOf({ maxBytes: 2 ** 16 });
    for (let n = 0; n < 50; n++) index.record(numbered(n), n % 3);
    const expected = Array.from({ length: 50 }, (_, n) => held(index, numbered(n), n % 3));
    const now = (): number[] => Array.from({ length: 50 }, (_, n) => held(index, numbered(n), n % 3));
    index.reconfigure({ maxBytes: 2 ** 20, maxBlocksPerWorker: 10_000 });
    assert.deepEqual(now(), expected, 'before it was moved');
    sweepAll(index);
    assert.deepEqual(now(), expected, 'afterwards');
    assert.equal(index.entries, 50 * 4 + 3 * 4);
  });

  it('keep the newest in a smaller table, within its bytes', () => {
    const index = indexOf();
    for (let n = 0; n < 1000; n++) index.record(numbered(n), 0);
    index.reconfigure({ maxBytes: 2 ** 15, maxBlocksPerWorker: 10_000 });
    sweepAll(index);
    assert.ok(index.bytes <= 2 ** 15, String(index.bytes));
    assert.equal(held(index, numbered(999), 0), 8);
    assert.equal(held(index, numbered(0), 0), 4);
    assert.ok(index.entries > 300, String(index.entries));
    for (let n = 2000; n < 4000; n++) index.record(numbered(n), 0);
    assert.ok(index.bytes <= 2 ** 15);
    assert.equal(held(index, numbered(3999), 0), 8);
  });

  it('shrink what one worker may hold, little by little', () => {
    const index = indexOf();
    for (let n = 0; n < 100; n++) index.record(numbered(n), 0);
    index.reconfigure({ maxBytes: 2 ** 20, maxBlocksPerWorker: 40 });
    assert.equal(held(index, numbered(99), 0), 8);
    for (let n = 100; n < 300; n++) index.record(numbered(n), 0);
    assert.ok(index.entriesOf(0) <= 40, String(index.entriesOf(0)));
    assert.equal(held(index, numbered(299), 0), 8);
  });

  it('forget idle blocks by the new time', () => {
    const clock = new VirtualClock();
    const index = indexOf({ clock, idleMs: 100_000 });
    index.record(numbered(1), 0);
    clock.advance(50_000);
    index.record(numbered(2), 0);
    index.reconfigure({ maxBytes: 2 ** 20, maxBlocksPerWorker: 10_000, idleMs: 20_000 });
    sweepAll(index);
    assert.deepEqual([held(index, numbered(1), 0), held(index, numbered(2), 0)], [4, 8]);
  });

  it('in the middle of traffic, of workers that leave, and of further changes never promise too much', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('record'), n: fc.nat(30), slot: fc.nat(2) }),
      fc.record({ kind: fc.constant('forget'), n: fc.constant(0), slot: fc.nat(2) }),
      fc.record({ kind: fc.constant('resize'), n: fc.nat(4), slot: fc.constant(0) }),
      fc.record({ kind: fc.constant('sweep'), n: fc.constant(0), slot: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const index = indexOf({ maxBytes: 4096 });
        const recorded = new Set<string>();
        for (const { kind, n, slot } of steps) {
          if (kind === 'record') {
            index.record(numbered(n), slot);
            recorded.add(`${slot}:${n}`);
            assert.ok(held(index, numbered(n), slot) >= 1);
          } else if (kind === 'forget') {
            index.forget(slot);
            for (const one of [...recorded]) if (one.startsWith(`${slot}:`)) recorded.delete(one);
          } else if (kind === 'resize')
            index.reconfigure({ maxBytes: 2048 << n, maxBlocksPerWorker: 20 + 10 * n });
          else index.sweep();
          for (let at = 0; at < 3; at++)
            for (let prompt = 0; prompt <= 30; prompt += 3) {
              const blocks = held(index, numbered(prompt), at);
              // Own blocks are expected only of a prompt that went there.
              if (blocks > 4) assert.ok(recorded.has(`${at}:${prompt}`), `${at}:${prompt}`);
              if (blocks > 0) assert.ok([...recorded].some((one) => one.startsWith(`${at}:`)));
            }
        }
        sweepAll(index);
        assert.ok(index.bytes <= 2048 << 4);
      }),
      { numRuns: 60 },
    );
  });
});
