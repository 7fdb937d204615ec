/** One suite over every way of knowing caches: what a view of them must keep, whatever it is put together from. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { ExactCaches } from '../../src/cache-knowledge/exact-caches.ts';
import { FailedSends } from '../../src/cache-knowledge/failed-sends.ts';
import { KnownCaches, noteDispatch, type KnownOptions } from '../../src/cache-knowledge/known-caches.ts';
import { PredictedIndex } from '../../src/cache-knowledge/predicted-index.ts';
import { CACHE_KNOWLEDGE } from '../../src/config/settings/cache-knowledge.ts';
import { inTokens, wholeBlocks, type PromptBlocks } from '../../src/routing/blocks.ts';
import { CACHE_SOURCES, type Ask, type CacheMatch, type Holdings } from '../../src/routing/policy.ts';
import { blocksFromHashIds } from '../../src/routing/hash-ids.ts';
import { tokenChain } from '../../src/routing/token-chain.ts';

fc.configureGlobal({ seed: 11 });

const SCOPE = { adapter: '', salt: '' };
/** A block of text is taken for so many tokens, which it is not. */
const TEXT_BLOCK = 20;

/** Engines whose caches are set by hand, as a number of leading blocks of whatever prompt is asked about. */
class FakeEngines implements ExactCaches {
  readonly #bySlot: {
    live: boolean;
    whole: boolean;
    size: number;
    held: number;
    cpu: number;
    disk: number;
  }[] = [];

  at(slot: number) {
    return (this.#bySlot[slot] ??= { live: false, whole: true, size: 0, held: 0, cpu: 0, disk: 0 });
  }
  isLive(slot: number): boolean {
    return this.at(slot).live;
  }
  isWhole(slot: number): boolean {
    return this.at(slot).live && this.at(slot).whole;
  }
  blockSize(slot: number): number {
    return this.at(slot).live ? this.at(slot).size : 0;
  }
  match({ count, tokensPerBlock }: PromptBlocks, slot: number): number {
    const { live, size, held } = this.at(slot);
    if (!live || (size !== 0 && size !== tokensPerBlock)) return -1;
    return Math.min(count, held);
  }
  matchAll(chain: PromptBlocks, end: number): ArrayLike<number> {
    return Int32Array.from({ length: end }, (_, slot) => this.match(chain, slot));
  }
  isAway(slot: number): boolean {
    return this.at(slot).cpu + this.at(slot).disk > 0;
  }
  tiers(chain: PromptBlocks, slot: number) {
    const held = Math.max(0, this.match(chain, slot));
    const cpu = Math.min(held, this.at(slot).cpu);
    return { cpu, disk: Math.min(held - cpu, this.at(slot).disk) };
  }
}

/** A prompt of words: each is a block of text and, where its tokens are known, `tokensPerWord` of those. */
function ask(words: readonly number[], known: boolean, holdings?: Holdings, tokensPerWord = 16): Ask {
  const ids = Uint32Array.from({ length: tokensPerWord * words.length }, (_, at) => {
    return 1000 * (words[Math.floor(at / tokensPerWord)] ?? 0) + (at % tokensPerWord);
  });
  const text = blocksFromHashIds(words, TEXT_BLOCK, TEXT_BLOCK * words.length);
  const blocks = known ? inTokens(text, ids.length) : text;
  return {
    ...{ model: 'm', stream: true, holdings },
    blocks: () => blocks,
    tokenIds: () => (known ? ids : undefined),
    chain: (key) => {
      if (key === 'text') return blocks;
      return known ? tokenChain(ids, { ...SCOPE, ...key }) : undefined;
    },
    hashKey: () => ({ source: 'prompt', value: '', sticky: false }),
  };
}

class Bench {
  readonly clock = new VirtualClock();
  readonly engines = new FakeEngines();
  readonly index = new PredictedIndex({ maxBytes: 2 ** 20, maxBlocksPerWorker: 4096, clock: this.clock });
  readonly failed = new FailedSends(this.clock);
  readonly view: KnownCaches;
  /** How long each worker takes for what it has been sent, ms. */
  waitMs = 0;

  constructor(options: KnownOptions = {}) {
    const { index: predicted, failed } = this;
    const sources = { predicted, failed, exact: () => this.engines, waitMs: () => this.waitMs };
    this.view = new KnownCaches(sources, options);
  }

  send(what: Ask, slot: number): void {
    noteDispatch(this.index, what, { slot, generation: 1, blockSize: this.engines.blockSize(slot) || 16 });
  }

  live(slot: number, held: number, { size = 16, cpu = 0, disk = 0, whole = true } = {}): void {
    Object.assign(this.engines.at(slot), { live: true, whole, size, held, cpu, disk });
  }

  match(what: Ask, slot: number): CacheMatch {
    return this.view.match(what, slot);
  }
}

const words = (count: number, of = 1): number[] => Array.from({ length: count }, (_, at) => 100 * of + at);

for (const knowledge of CACHE_KNOWLEDGE.filter((one) => one !== 'none'))
  describe(`cache_knowledge ${knowledge}`, () => {
    it('says the same of one worker as of all at once, never more than there is to reuse', () => {
      const worker = fc.record({
        live: fc.boolean(),
        whole: fc.boolean(),
        size: fc.constantFrom(0, 16, 32),
        held: fc.nat(8),
        cpu: fc.nat(3),
        disk: fc.nat(3),
      });
      const step = fc.record({
        slot: fc.nat(5),
        prompt: fc.nat(3),
        length: fc.nat({ max: 9 }),
        known: fc.boolean(),
        held: fc.option(fc.record({ slot: fc.nat(6), tokens: fc.nat(200) })),
        after: fc.nat(1500),
        worker,
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
          const bench = new Bench({ knowledge });
          for (const { slot, prompt, length, known, held, after, worker: state } of steps) {
            Object.assign(bench.engines.at(slot), state);
            const holdings = held ? { held: [{ ...held, tier: 'cpu' as const }] } : undefined;
            const what = ask(words(length, prompt), known, holdings);
            const { rows, tokens, sources, tiers } = bench.view.matchAll(what, 6);
            const seen = [0, 1, 2, 3, 4, 5].map((at) => {
              const row = rows[at]!;
              const [cpu, disk] = [tiers?.cpu[row] ?? 0, tiers?.disk[row] ?? 0];
              const source = sources ? CACHE_SOURCES[sources[row]!] : 'predicted';
              return { tokens: tokens[row]!, source, ...(cpu + disk > 0 && { tiers: { cpu, disk } }) };
            });
            for (const [at, match] of seen.entries()) {
              assert.deepEqual(bench.match(what, at), match);
              const { source } = match;
              assert.ok(
                knowledge === 'auto' || source === knowledge || source === 'none' || knowledge === 'events',
              );
              const elsewhere = (match.tiers?.cpu ?? 0) + (match.tiers?.disk ?? 0);
              assert.ok(elsewhere <= match.tokens && match.tokens >= 0);
              if (known && source === 'events')
                assert.ok(match.tokens < Math.max(1, what.chain({ blockSize: 16 })?.totalTokens ?? 0));
            }
            bench.send(what, slot);
            bench.clock.advance(after);
          }
        }),
      );
    });
  });

describe('the best source there is', () => {
  it('is found worker by worker: events, what LMCache says, what was sent there', () => {
    const bench = new Bench();
    const prompt = words(10);
    for (const slot of [0, 1, 2, 3]) bench.send(ask(prompt.slice(0, 4), true), slot);
    bench.clock.advance(10_000);
    bench.live(0, 2);
    bench.live(1, 0);
    const what = ask(prompt, true, { held: [{ slot: 2, tokens: 128, tier: 'disk' }] });
    const found = [0, 1, 2, 3, 4].map((slot) => bench.match(what, slot));
    assert.deepEqual(found, [
      { tokens: 32, source: 'events' },
      { tokens: 0, source: 'events' },
      { tokens: 128, source: 'lmcache', tiers: { cpu: 0, disk: 128 } },
      { tokens: 64, source: 'predicted' },
      { tokens: 0, source: 'predicted' },
    ]);
  });

  it('is what was sent there from the moment on that events are lost, or tokens are not known', () => {
    const bench = new Bench();
    bench.send(ask(words(4), true), 0);
    bench.clock.advance(10_000);
    bench.live(0, 1);
    assert.equal(bench.match(ask(words(6), true), 0).source, 'events');
    assert.deepEqual(bench.match(ask(words(6), false), 0), { tokens: 4 * TEXT_BLOCK, source: 'predicted' });
    bench.engines.at(0).live = false;
    assert.deepEqual(bench.match(ask(words(6), true), 0), { tokens: 64, source: 'predicted' });
  });

  it('is the larger of events and what was sent there while events do not tell of all that it holds', () => {
    for (const knowledge of ['auto', 'events'] as const) {
      const bench = new Bench({ knowledge });
      for (const slot of [0, 1, 2, 3]) bench.send(ask(words(4), true), slot);
      bench.clock.advance(10_000);
      bench.live(0, 0, { whole: false });
      bench.live(1, 2, { whole: false });
      bench.live(2, 6, { whole: false, cpu: 1 });
      bench.live(3, 0);
      const what = ask(words(10), true);
      const sent = { tokens: 64, source: 'predicted' };
      assert.deepEqual(
        [0, 1, 2, 3].map((slot) => bench.match(what, slot)),
        [
          knowledge === 'auto' ? sent : { tokens: 0, source: 'events' },
          knowledge === 'auto' ? sent : { tokens: 32, source: 'events' },
          { tokens: 96, source: 'events', tiers: { cpu: 16, disk: 0 } },
          { tokens: 0, source: 'events' },
        ],
      );
      bench.live(0, 0);
      assert.deepEqual(bench.match(what, 0), { tokens: 0, source: 'events' });
    }
  });

  it('counts blocks by the size that each engine has', () => {
    const bench = new Bench();
    bench.live(0, 3, { size: 16 });
    bench.live(1, 3, { size: 32 });
    bench.live(2, 3, { size: 64 });
    const what = ask(words(10), true);
    assert.deepEqual(
      [0, 1, 2].map((slot) => bench.match(what, slot).tokens),
      // 160 tokens: of 64 there are two full blocks.
      [48, 96, 128],
    );
  });

  it('leaves the last token, and with it its block, to be computed', () => {
    const bench = new Bench();
    bench.live(0, 10);
    assert.deepEqual(
      [3, 4].map((length) => bench.match(ask(words(length), true), 0).tokens),
      [32, 48],
    );
    const open = ask(words(4), true, undefined, 17);
    assert.equal(bench.match(open, 0).tokens, 64);
  });

  it('says where the tokens lie, and what an engine has on its GPU need not come from LMCache', () => {
    const bench = new Bench();
    bench.live(0, 6, { cpu: 2, disk: 1 });
    const prompt = ask(words(10), true);
    assert.deepEqual(bench.match(prompt, 0), { tokens: 96, source: 'events', tiers: { cpu: 32, disk: 16 } });
    const both = ask(words(10), true, { held: [{ slot: 0, tokens: 144, tier: 'cpu' }] });
    assert.deepEqual(bench.match(both, 0), { tokens: 144, source: 'lmcache', tiers: { cpu: 96, disk: 0 } });
    const less = ask(words(10), true, { held: [{ slot: 0, tokens: 80, tier: 'cpu' }] });
    assert.equal(bench.match(less, 0).source, 'events');
  });
});

describe('tokens that are not known in time', () => {
  it('never make less of a match than the text alone does', () => {
    const bench = new Bench({ knowledge: 'predicted' });
    for (let turn = 1; turn <= 8; turn++) {
      const known = turn % 2 === 0;
      const what = ask(words(2 * turn), known);
      const matched = bench.index.match(what.blocks(), 0).tokens;
      // Hits are whole blocks, where it is known where those end.
      const text = known ? wholeBlocks(matched, what.blocks().totalTokens, 16) : matched;
      const { tokens } = bench.match(what, 0);
      assert.ok(tokens >= text && (turn === 1 || tokens > 0), `turn ${turn}: ${tokens} of ${text}`);
      bench.send(what, 0);
    }
  });
});

describe('what was sent just now', () => {
  it('counts as held until events have had the time to say so, and then what they say', () => {
    const bench = new Bench({ speculativeMs: 2000 });
    bench.live(0, 1);
    bench.clock.advance(60_000);
    bench.send(ask(words(6), true), 0);
    const next = ask(words(8), true);
    assert.deepEqual(bench.match(next, 0), { tokens: 96, source: 'predicted' });
    bench.clock.advance(1500);
    assert.equal(bench.match(next, 0).tokens, 96);
    bench.live(0, 7);
    assert.deepEqual(bench.match(next, 0), { tokens: 112, source: 'events' });
    bench.live(0, 2);
    bench.clock.advance(700);
    assert.deepEqual(bench.match(next, 0), { tokens: 32, source: 'events' });
  });

  it('counts for longer where it waits in the queue of an engine, which tells of a block when it computes it', () => {
    const bench = new Bench({ speculativeMs: 2000 });
    bench.live(0, 1);
    bench.waitMs = 30_000;
    bench.send(ask(words(6), true), 0);
    bench.clock.advance(25_000);
    assert.equal(bench.match(ask(words(8), true), 0).tokens, 96);
    bench.waitMs = 0;
    assert.equal(bench.match(ask(words(8), true), 0).tokens, 16);
  });

  it('is so as far as it is recent: an older, longer prompt is not', () => {
    const bench = new Bench({ speculativeMs: 2000 });
    bench.live(0, 0);
    bench.send(ask(words(8), true), 0);
    bench.clock.advance(10_000);
    bench.send(ask(words(3), true), 0);
    assert.equal(bench.match(ask(words(9), true), 0).tokens, 48);
    assert.equal(bench.match(ask(words(9), true), 1).tokens, 0);
  });

  it('does not where a request has failed there since', () => {
    const bench = new Bench();
    bench.live(0, 1);
    bench.live(1, 1);
    for (const slot of [0, 1]) bench.send(ask(words(6), true), slot);
    bench.clock.advance(500);
    bench.failed.note(0);
    bench.clock.advance(300);
    const found = (): number[] => [0, 1].map((slot) => bench.match(ask(words(8), true), slot).tokens);
    assert.deepEqual(found(), [16, 96]);
    bench.send(ask(words(4), true), 0);
    assert.deepEqual(found(), [64, 96]);
  });

  it('is not where that is switched off', () => {
    const bench = new Bench({ speculativeMs: 0 });
    bench.live(0, 1);
    bench.send(ask(words(6), true), 0);
    assert.deepEqual(bench.match(ask(words(8), true), 0), { tokens: 16, source: 'events' });
  });
});

describe('whether tokens are worth knowing', () => {
  it('is so while the events of some worker are received', () => {
    const bench = new Bench();
    bench.view.matchAll(ask(words(1), false), 3);
    assert.equal(bench.view.goesByTokens, false);
    bench.live(2, 0);
    assert.equal(bench.view.goesByTokens, true);
    const predicted = new KnownCaches(
      { predicted: bench.index, exact: () => bench.engines },
      { knowledge: 'predicted' },
    );
    assert.equal(predicted.goesByTokens, false);
  });
});
