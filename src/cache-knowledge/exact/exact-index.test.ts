import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tokenChain } from '../../routing/token-chain.ts';
import type { PromptBlocks } from '../../routing/blocks.ts';
import type { StoredEvent, Tier } from '../events/kv-event.ts';
import { ExactIndex } from './exact-index.ts';
import { ExactReader, NOT_KNOWN } from './exact-reader.ts';
import { allocateExact, endExact, LEAST_BYTES, SLOT } from './exact-memory.ts';
import type { ExactRow } from './row-table.ts';

fc.configureGlobal({ seed: 11 });

const SIZE = 2;
const SEED = 0x5eed;

interface Bench {
  readonly index: ExactIndex;
  readonly reader: ExactReader;
  /** What readers see of slots. */
  readonly slots: Int32Array;
  /** A row whose worker is there and whose events are received. */
  readonly open: (slot: number, rank?: number) => ExactRow;
}

function bench(maxBytes = 2 ** 21): Bench {
  const memory = allocateExact(maxBytes, SEED);
  const index = new ExactIndex(memory);
  const slots = new Int32Array(memory.slots);
  return {
    ...{ index, slots },
    reader: new ExactReader(memory),
    open: (slot, rank = 0) => {
      slots[SLOT.WORDS * slot + SLOT.GENERATION] = 1;
      index.setState(slot, 1, 'live', 'whole');
      const row = index.open(slot, rank);
      assert.ok(row);
      return row;
    },
  };
}

/** What an engine calls the last block of these tokens. */
function nameOf(ids: readonly number[], seed = 0): readonly [number, number] {
  const { hashes, count } = tokenChain(Uint32Array.from(ids), {
    ...{ blockSize: SIZE, adapter: 'engine', salt: String(seed) },
  });
  return [hashes[2 * count - 2]!, hashes[2 * count - 1]!];
}

const namesOf = (ids: readonly number[], from: number, seed = 0): Uint32Array =>
  Uint32Array.from(
    Array.from({ length: ids.length / SIZE - from }, (_, at) =>
      nameOf(ids.slice(0, SIZE * (from + at + 1)), seed),
    ).flat(),
  );

/** The event of a prompt whose blocks from `from` on are new. */
function event(ids: readonly number[], from = 0, over: Partial<StoredEvent> = {}, seed = 0): StoredEvent {
  const [low, high] = from === 0 ? [0, 0] : nameOf(ids.slice(0, SIZE * from), seed);
  return {
    names: namesOf(ids, from, seed),
    parent: from === 0 ? undefined : { low, high },
    tokens: Uint32Array.from(ids.slice(SIZE * from)),
    kind: 'stored',
    ...{ blockSize: SIZE, adapter: '', salt: '', tier: 'gpu', extras: undefined },
    ...over,
  };
}

const chainOf = (ids: readonly number[], over: { adapter?: string; salt?: string } = {}): PromptBlocks =>
  tokenChain(Uint32Array.from(ids), { blockSize: SIZE, adapter: '', salt: '', ...over });

/** A prompt of so many blocks, by number. */
const prompt = (number: number, blocks: number): number[] =>
  Array.from({ length: SIZE * blocks }, (_, at) => 1000 * number + at);

describe('the exact index', () => {
  it('knows the leading blocks that an engine has stored and not removed', () => {
    const { index, reader, open } = bench();
    const row = open(3);
    const ids = prompt(1, 6);
    assert.equal(index.store(row, event(ids.slice(0, 8))), 'stored');
    assert.equal(reader.match(chainOf(ids), 3), 4);
    assert.equal(index.store(row, event(ids, 4)), 'stored');
    assert.equal(reader.match(chainOf(ids), 3), 6);
    index.remove(row, namesOf(ids, 5), 'gpu');
    assert.equal(reader.match(chainOf(ids), 3), 5);
    assert.deepEqual([...reader.matchAll(chainOf(ids), 5).subarray(0, 5)], [-1, -1, -1, 5, -1]);
    assert.deepEqual(index.counts, { stored: 6, removed: 1, unknown: 0, evicted: 0 });
  });

  it('knows adapters and salts apart, and blocks with images in them from those without', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const ids = prompt(1, 3);
    index.store(row, event(ids, 0, { adapter: 'sql' }, 1));
    index.store(row, event(ids, 0, { salt: 'tenant' }, 2));
    index.store(row, event(ids, 0, { extras: ['', 'image', ''] }, 3));
    assert.equal(reader.match(chainOf(ids), 0), 1);
    assert.equal(reader.match(chainOf(ids, { adapter: 'sql' }), 0), 3);
    assert.equal(reader.match(chainOf(ids, { salt: 'tenant' }), 0), 3);
    assert.equal(reader.match(chainOf(ids, { salt: 'other' }), 0), 0);
  });

  it('says what it cannot place, and takes nothing of it', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const ids = prompt(1, 4);
    assert.equal(index.store(row, event(ids, 2)), 'unknown_parent');
    assert.equal(index.store(row, event(ids, 0, { tokens: Uint32Array.of(1, 2, 3) })), 'malformed');
    assert.equal(
      index.store(row, event(ids, 0, { tokens: new Uint32Array(0), tier: 'cpu' })),
      'unknown_block',
    );
    assert.equal(index.store(row, event(ids)), 'stored');
    assert.equal(
      index.store(row, event(prompt(2, 4), 0, { blockSize: 4, names: namesOf(prompt(2, 2), 0) })),
      'block_size',
    );
    index.remove(row, namesOf(prompt(3, 2), 0), 'gpu');
    assert.equal(index.counts.unknown, 2);
    assert.equal(index.entries, 4);
    assert.equal(reader.match({ ...chainOf(ids), tokensPerBlock: 16 }, 0), NOT_KNOWN);
    assert.equal(reader.blockSize(0), SIZE);
  });

  it('keeps what follows a block that went, and knows it when the block is there again', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const ids = prompt(1, 8);
    index.store(row, event(ids));
    index.remove(row, namesOf(ids, 2).slice(0, 2), 'gpu');
    assert.equal(reader.match(chainOf(ids), 0), 2);
    index.store(row, event(ids.slice(0, 6), 2));
    assert.equal(reader.match(chainOf(ids), 0), 8);
    index.remove(row, namesOf(ids, 2).slice(0, 2), 'gpu');
    index.remove(row, namesOf(ids, 3), 'gpu');
    assert.equal(index.entries, 2);
  });

  it('knows on which tier a block is, and holds it until it has left the last one', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const ids = prompt(1, 5);
    const offloaded = { tokens: new Uint32Array(0), blockSize: 0 };
    index.store(row, event(ids));
    index.store(row, event(ids, 0, { ...offloaded, tier: 'cpu' }));
    index.store(row, event(ids, 4, { ...offloaded, tier: 'disk' }));
    assert.deepEqual(reader.tiers(chainOf(ids), 0), { gpu: 5, cpu: 0, disk: 0 });
    index.remove(row, namesOf(ids, 2), 'gpu');
    assert.deepEqual(reader.tiers(chainOf(ids), 0), { gpu: 2, cpu: 3, disk: 0 });
    index.remove(row, namesOf(ids, 3), 'cpu');
    assert.deepEqual(reader.tiers(chainOf(ids), 0), { gpu: 2, cpu: 1, disk: 0 });
    index.remove(row, namesOf(ids, 4), 'disk');
    assert.equal(reader.match(chainOf(ids), 0), 3);
    assert.equal(index.entries, 3);
  });

  it('holds a block that an engine has twice until both are gone', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const ids = prompt(1, 2);
    index.store(row, event(ids));
    index.store(row, event(ids));
    index.remove(row, namesOf(ids, 0), 'gpu');
    assert.equal(reader.match(chainOf(ids), 0), 2);
    index.remove(row, namesOf(ids, 1), 'gpu');
    assert.equal(reader.match(chainOf(ids), 0), 1);
    index.remove(row, namesOf(ids, 0), 'gpu');
    assert.deepEqual(index.counts, { stored: 4, removed: 4, unknown: 1, evicted: 0 });
  });

  it('lets go of a long prompt that was removed from its beginning on', () => {
    const { index, open } = bench(2 ** 23);
    const row = open(0);
    const { names, tokens } = long(prompt(0, 60_000));
    index.store(row, { ...event(prompt(1, 1)), names, tokens });
    index.remove(row, names, 'gpu');
    assert.deepEqual([index.counts.removed, index.taken], [60_000, 0]);
  });

  it('counts the ranks of a worker with their mean, and their block size with the worker', () => {
    const { index, reader, open } = bench();
    const rows = [open(0, 0), open(0, 1)];
    index.store(rows[0]!, event(prompt(1, 6)));
    index.store(rows[1]!, event(prompt(1, 3)));
    assert.equal(reader.match(chainOf(prompt(1, 6)), 0), 4);
    index.forget(rows[0]!);
    assert.equal(reader.match(chainOf(prompt(1, 6)), 0), 3);
    index.forget(rows[1]!);
    assert.equal(reader.blockSize(0), 0);
  });

  it('counts only for the worker that has the slot now, and only while its events are received', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const ids = prompt(1, 3);
    index.store(row, event(ids));
    const generation = new Int32Array(index.memory.slots).subarray(SLOT.GENERATION);
    generation[0] = 2;
    assert.equal(reader.match(chainOf(ids), 0), NOT_KNOWN);
    index.forget(row);
    index.setState(0, 2, 'live', 'whole');
    assert.equal(reader.match(chainOf(ids), 0), 0);
    index.setState(0, 2, 'lost', 'whole');
    assert.equal(reader.match(chainOf(ids), 0), NOT_KNOWN);
  });

  it('says of the worker that has the slot now whether its row has all that it holds', () => {
    const { index, reader, open } = bench();
    open(0);
    assert.deepEqual([reader.isLive(0), reader.isWhole(0)], [true, true]);
    index.setState(0, 1, 'live', 'partial');
    assert.deepEqual([reader.isLive(0), reader.isWhole(0)], [true, false]);
    index.setState(0, 1, 'lost', 'whole');
    assert.deepEqual([reader.isLive(0), reader.isWhole(0)], [false, false]);
    index.setState(0, 2, 'live', 'whole');
    assert.deepEqual([reader.isLive(0), reader.isWhole(0)], [false, false]);
    const generation = new Int32Array(index.memory.slots).subarray(SLOT.GENERATION);
    generation[0] = 2;
    assert.equal(reader.isWhole(0), true);
    endExact(index.memory);
    assert.equal(reader.isWhole(0), false);
  });

  it('takes a block by the name that an engine gives it last', () => {
    const { index, reader, open } = bench();
    const row = open(0);
    const [one, other] = [prompt(1, 3), prompt(2, 3)];
    index.store(row, event(one));
    index.store(row, event(other, 0, { names: namesOf(one, 0) }));
    assert.equal(reader.match(chainOf(one), 0), 0);
    assert.equal(reader.match(chainOf(other), 0), 3);
    assert.equal(index.entries, 3);
    index.store(row, event(one, 0, { names: Uint32Array.of(1, 1, 1, 1, 1, 1) }));
    assert.equal(reader.match(chainOf(one), 0), 0, 'one name for three blocks is that of the last');
    index.remove(row, Uint32Array.of(1, 1), 'gpu');
    index.remove(row, namesOf(one, 0), 'gpu');
    assert.equal(index.entries, 0);
  });
});

describe('the exact index while another thread writes it', () => {
  it('has nothing for a slot whose rows come or go at that moment', () => {
    const { index, reader, slots, open } = bench();
    const ids = prompt(1, 6);
    index.store(open(0), event(ids));
    index.store(open(1), event(ids));
    assert.deepEqual([...reader.matchAll(chainOf(ids), 2).subarray(0, 2)], [6, 6]);
    // As far as a writer has come that was interrupted.
    slots[SLOT.VERSION]!++;
    assert.deepEqual([...reader.matchAll(chainOf(ids), 2).subarray(0, 2)], [0, 6]);
    assert.equal(reader.match(chainOf(ids), 0), 0);
    slots[SLOT.VERSION]!++;
    assert.deepEqual([...reader.matchAll(chainOf(ids), 2).subarray(0, 2)], [6, 6]);
  });

  it('gives a slot another version before its rows change, and when they have', () => {
    const { index, slots, open } = bench();
    const row = open(0);
    assert.equal(slots[SLOT.VERSION], 2);
    index.store(row, event(prompt(1, 6)));
    assert.equal(slots[SLOT.VERSION], 2);
    index.clear(row);
    assert.equal(slots[SLOT.VERSION], 6, 'one goes, one comes');
    index.forget(row);
    assert.equal(slots[SLOT.VERSION], 8);
  });
});

describe('the exact index where there is no room', () => {
  const small = LEAST_BYTES + 20_000;

  it('drops the ends of prompts, of workers with more than their share, and counts them', () => {
    const { index, reader, open } = bench(small);
    const [much, little] = [open(0), open(1)];
    index.store(little, event(prompt(1, 20)));
    for (let number = 2; index.counts.evicted < 1000; number++) index.store(much, event(prompt(number, 20)));
    assert.equal(reader.match(chainOf(prompt(1, 20)), 1), 20);
    assert.ok(index.entries <= index.capacity);
    assert.ok(index.bytes <= small);
  });

  it('keeps what is left closed under prefixes', () => {
    const { index, reader, open } = bench(small);
    const rows = [open(0), open(1), open(2)];
    for (let number = 0; number < 300; number++) index.store(rows[number % 3]!, event(prompt(number, 30)));
    let held = 0;
    for (let number = 0; number < 300; number++)
      held += reader.match(chainOf(prompt(number, 30)), number % 3);
    assert.equal(held, index.entries);
    assert.ok(index.entries > index.capacity - 30);
  });

  it('stores no more of one prompt than there is room for, and goes on when it has left', () => {
    const { index, reader, open } = bench(LEAST_BYTES);
    const row = open(0);
    const ids = prompt(0, index.capacity + 10);
    assert.equal(index.store(row, { ...event(prompt(1, 1)), ...long(ids) }), 'full');
    assert.equal(reader.match(chainOf(ids), 0), index.capacity);
    index.clear(row);
    assert.equal(index.store(row, event(prompt(2, 5))), 'stored');
    assert.equal(reader.match(chainOf(prompt(2, 5)), 0), 5);
  });
});

/** Names that are made faster than an engine's. */
function long(ids: readonly number[]): Pick<StoredEvent, 'names' | 'tokens'> {
  return {
    names: Uint32Array.from({ length: ids.length }, (_, at) => at + 1),
    tokens: Uint32Array.from(ids),
  };
}

/** What one engine holds: by block, where it has copies of it. */
type Model = Map<string, Tier[]>;

type Step =
  | {
      readonly kind: 'store';
      readonly row: number;
      readonly ids: number[];
      readonly from: number;
      tier: Tier;
    }
  | { readonly kind: 'offload'; readonly row: number; readonly ids: number[]; readonly tier: Tier }
  | { readonly kind: 'remove'; readonly row: number; readonly ids: number[]; readonly tier: Tier }
  | { readonly kind: 'clear' | 'leave'; readonly row: number };

const PROMPTS = [
  [1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6],
  [1, 1, 1, 2, 3, 3, 4, 5, 6, 6],
  [1, 1, 1, 2, 7, 7],
  [9, 9, 8, 8, 7, 7, 6, 6],
];

const tiers = fc.constantFrom<Tier>('gpu', 'gpu', 'gpu', 'cpu', 'disk');
const part = fc
  .record({ prompt: fc.nat(PROMPTS.length - 1), blocks: fc.integer({ min: 1, max: 6 }) })
  .map(({ prompt: number, blocks }) => PROMPTS[number]!.slice(0, SIZE * blocks));
const rows = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      row: rows,
      ids: part,
      from: fc.nat(4),
      tier: tiers,
    }),
    weight: 8,
  },
  {
    arbitrary: fc.record({ kind: fc.constant('remove' as const), row: rows, ids: part, tier: tiers }),
    weight: 6,
  },
  {
    arbitrary: fc.record({ kind: fc.constant('offload' as const), row: rows, ids: part, tier: tiers }),
    weight: 2,
  },
  {
    arbitrary: fc.record({ kind: fc.constantFrom('clear', 'leave'), row: rows }),
    weight: 1,
  },
);

const keyOf = (ids: readonly number[]): string => ids.join();

/** Engines keep a block twice on the GPU where they compute it twice; elsewhere once. */
function keep(copies: Tier[], tier: Tier): void {
  if (tier === 'gpu' || !copies.includes(tier)) copies.push(tier);
}

function storeInModel(model: Model, ids: readonly number[], from: number, tier: Tier): void {
  if (from > 0 && !model.has(keyOf(ids.slice(0, SIZE * from)))) return;
  for (let end = from + 1; SIZE * end <= ids.length; end++) {
    const block = keyOf(ids.slice(0, SIZE * end));
    const copies = model.get(block) ?? [];
    keep(copies, tier);
    model.set(block, copies);
  }
}

function removeFromModel(model: Model, ids: readonly number[], tier: Tier): void {
  const copies = model.get(keyOf(ids));
  const at = copies?.indexOf(tier) ?? -1;
  if (at >= 0) copies?.splice(at, 1);
}

/** A block that is gone is forgotten when nothing that follows it is known. */
function prune(model: Model): void {
  for (const [key, copies] of [...model].toSorted((a, b) => b[0].length - a[0].length))
    if (copies.length === 0 && ![...model.keys()].some((other) => other.startsWith(`${key},`)))
      model.delete(key);
}

function heldInModel(model: Model, ids: readonly number[]): number {
  let held = 0;
  while (
    SIZE * (held + 1) <= ids.length &&
    (model.get(keyOf(ids.slice(0, SIZE * (held + 1))))?.length ?? 0) > 0
  )
    held++;
  return held;
}

function applyToModel(model: Model, one: Step): void {
  switch (one.kind) {
    case 'clear':
    case 'leave':
      model.clear();
      break;
    case 'store':
      storeInModel(model, one.ids, one.from, one.tier);
      break;
    case 'offload':
      keep(model.get(keyOf(one.ids)) ?? [], one.tier);
      break;
    case 'remove':
      removeFromModel(model, one.ids, one.tier);
  }
  prune(model);
}

function apply({ index, open }: Bench, at: ExactRow[], one: Step): void {
  const row = at[one.row]!;
  switch (one.kind) {
    case 'clear':
      index.clear(row);
      break;
    case 'leave':
      index.forget(row);
      at[one.row] = open(one.row);
      break;
    case 'store':
      if (SIZE * one.from < one.ids.length) index.store(row, event(one.ids, one.from, { tier: one.tier }));
      break;
    case 'offload':
      index.store(
        row,
        event(one.ids, one.ids.length / SIZE - 1, { tier: one.tier, tokens: new Uint32Array(0) }),
      );
      break;
    case 'remove':
      index.remove(row, Uint32Array.from(nameOf(one.ids)), one.tier);
  }
}

describe('the exact index against a plain model of the engines', () => {
  it('holds what they hold after any sequence of events, and nothing once it is over', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const made = bench();
        const at = [0, 1, 2, 3].map((slot) => made.open(slot));
        const models: Model[] = at.map(() => new Map());
        for (const one of steps) {
          apply(made, at, one);
          applyToModel(models[one.row]!, one);
        }
        for (const ids of PROMPTS) {
          const expected = models.map((model) => heldInModel(model, ids));
          assert.deepEqual([...made.reader.matchAll(chainOf(ids), 4).subarray(0, 4)], expected);
          assert.deepEqual(
            models.map((_, slot) => made.reader.match(chainOf(ids), slot)),
            expected,
          );
          models.forEach((model, slot) => {
            const best = ids
              .slice(0, expected[slot])
              .map((_, block) => model.get(keyOf(ids.slice(0, SIZE * (block + 1))))!);
            const { gpu } = made.reader.tiers(chainOf(ids), slot);
            assert.equal(gpu, best.filter((copies) => copies.includes('gpu')).length);
          });
        }
        assert.equal(
          made.index.entries,
          models.reduce((sum, model) => sum + model.size, 0),
        );
        for (const row of at) made.index.forget(row);
        while (made.index.sweep());
        assert.equal(made.index.entries, 0);
        assert.equal(made.index.taken, 0);
      }),
      { numRuns: 400 },
    );
  });
});
