import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../base/virtual-clock.ts';
import { LoadLedger } from './ledger.ts';
import type { Lease } from './ledger.ts';

const stream = (prefillTokens: number, kvTokens = prefillTokens) => ({
  prefillTokens,
  kvTokens,
  stream: true,
});
const whole = (prefillTokens: number, kvTokens = prefillTokens) => ({
  prefillTokens,
  kvTokens,
  stream: false,
});

function setUp(options?: { defaultRate?: number }) {
  const clock = new VirtualClock();
  const ledger = new LoadLedger(clock, options);
  const { slot } = ledger.allocate();
  return { clock, ledger, slot };
}

function counters(ledger: LoadLedger, slot: number): readonly number[] {
  return [ledger.own(slot), ledger.running(slot), ledger.prefillTokens(slot), ledger.kvTokens(slot)];
}

describe('a lease', () => {
  it('books at dispatch and gives everything back once', () => {
    const { ledger, slot } = setUp();
    const lease = ledger.acquire(slot, stream(1000, 1500));
    assert.deepEqual(counters(ledger, slot), [1, 1, 1000, 1500]);
    assert.equal(ledger.openLeases, 1);
    assert.equal(lease.release(), true);
    assert.equal(lease.release(), false);
    assert.deepEqual(counters(ledger, slot), [0, 0, 0, 0]);
    assert.equal(ledger.openLeases, 0);
  });

  it('gives the prefill of a stream back at its first token, however late', () => {
    const { clock, ledger, slot } = setUp();
    const lease = ledger.acquire(slot, stream(1000));
    clock.advance(60_000);
    assert.equal(ledger.prefillTokens(slot), 1000);
    lease.firstToken(1000);
    lease.firstToken(1000);
    assert.deepEqual(counters(ledger, slot), [1, 1, 0, 1000]);
    lease.release();
    lease.firstToken(1000);
    lease.tokens(5);
    assert.deepEqual(counters(ledger, slot), [0, 0, 0, 0]);
  });

  it('grows by generated tokens until its end', () => {
    const { ledger, slot } = setUp();
    const lease = ledger.acquire(slot, stream(10));
    lease.tokens(3);
    lease.tokens(1);
    assert.equal(ledger.kvTokens(slot), 14);
    lease.release();
    assert.equal(ledger.kvTokens(slot), 0);
  });

  it('survives estimates that are no numbers', () => {
    const { ledger, slot } = setUp();
    const leases = [Number.NaN, -5, Number.POSITIVE_INFINITY, 0.4, 2.6].map((n) =>
      ledger.acquire(slot, stream(n)),
    );
    assert.equal(ledger.prefillTokens(slot), 2 ** 40 + 3);
    for (const lease of leases) lease.release();
    assert.deepEqual(counters(ledger, slot), [0, 0, 0, 0]);
  });
});

describe('prefill that shows no first token', () => {
  it('drains at the rate of the worker, oldest first', () => {
    const { clock, ledger, slot } = setUp({ defaultRate: 1000 });
    const first = ledger.acquire(slot, whole(1000));
    const second = ledger.acquire(slot, whole(500));
    clock.advance(400);
    assert.equal(ledger.prefillTokens(slot), 1100);
    // The second ends early: only its own tokens go.
    second.release();
    assert.equal(ledger.prefillTokens(slot), 600);
    clock.advance(600);
    assert.equal(ledger.prefillTokens(slot), 0);
    assert.equal(ledger.own(slot), 1);
    first.release();
    assert.deepEqual(counters(ledger, slot), [0, 0, 0, 0]);
  });

  it('is all gone when the request ends first', () => {
    const { clock, ledger, slot } = setUp({ defaultRate: 1000 });
    const lease = ledger.acquire(slot, whole(5000));
    clock.advance(100);
    lease.release();
    assert.equal(ledger.prefillTokens(slot), 0);
  });

  it('earns no credit while nothing is queued', () => {
    const { clock, ledger, slot } = setUp({ defaultRate: 1000 });
    ledger.acquire(slot, whole(100)).release();
    clock.advance(10_000);
    const lease = ledger.acquire(slot, whole(100));
    assert.equal(ledger.prefillTokens(slot), 100);
    lease.release();
  });

  it('waits behind a stream until that shows its first token', () => {
    const { clock, ledger, slot } = setUp({ defaultRate: 1000 });
    const ahead = ledger.acquire(slot, stream(200));
    const behind = ledger.acquire(slot, whole(1000));
    clock.advance(1000);
    assert.equal(ledger.prefillTokens(slot), 1200);
    ahead.firstToken(0);
    assert.equal(ledger.prefillTokens(slot), 1000);
    clock.advance(250);
    assert.equal(ledger.prefillTokens(slot), 750);
    ahead.release();
    behind.release();
    assert.equal(ledger.prefillTokens(slot), 0);
  });
});

describe('the learnt rate', () => {
  it('is the speed at which a prompt and what was ahead of it were computed', () => {
    const { clock, ledger, slot } = setUp();
    const ahead = ledger.acquire(slot, stream(4000));
    const lease = ledger.acquire(slot, stream(6000));
    clock.advance(1000);
    ahead.firstToken(4000);
    assert.equal(ledger.prefillRate(slot), 4000);
    clock.advance(1500);
    lease.firstToken(6000);
    // 10,000 tokens in 2.5 s.
    assert.ok(Math.abs(ledger.prefillRate(slot) - 4000) < 1e-6);
    assert.equal(ledger.predictedTtftMs(slot, 2000), 500);
  });

  it('finds the true rate of a worker that serves prompts one after another, from a wrong start', () => {
    for (const trueRate of [1000, 30_000]) {
      const { clock, ledger, slot } = setUp();
      const queue: Lease[] = [];
      for (let round = 0; round < 300; round++) {
        while (queue.length < 4) queue.push(ledger.acquire(slot, stream(1500)));
        clock.advance((1500 / trueRate) * 1000);
        const done = queue.shift();
        done?.firstToken(1500);
        done?.release();
      }
      assert.ok(Math.abs(ledger.prefillRate(slot) / trueRate - 1) < 0.05, String(ledger.prefillRate(slot)));
    }
  });

  it('ignores small samples, those of no duration, and what is not streamed', () => {
    const { clock, ledger, slot } = setUp();
    const small = ledger.acquire(slot, stream(255));
    clock.advance(1000);
    small.firstToken(255);
    small.release();
    const instant = ledger.acquire(slot, stream(5000));
    instant.firstToken(5000);
    const answer = ledger.acquire(slot, whole(5000));
    clock.advance(10_000);
    answer.firstToken(5000);
    assert.equal(ledger.prefillRate(slot), 8000);
  });

  it('takes one sample of a stream, and none of a worker that has left', () => {
    const { clock, ledger, slot } = setUp();
    const lease = ledger.acquire(slot, stream(4000));
    clock.advance(1000);
    lease.firstToken(4000);
    clock.advance(9000);
    lease.firstToken(4000);
    assert.equal(ledger.prefillRate(slot), 4000);
    lease.release();
    const late = ledger.acquire(slot, stream(4000));
    ledger.free(slot);
    clock.advance(1000);
    late.firstToken(4000);
    late.release();
    assert.equal(ledger.allocate().slot, slot);
    assert.equal(ledger.prefillRate(slot), 8000);
    // The next worker of the slot starts from nothing.
    const next = ledger.acquire(slot, stream(4000));
    clock.advance(250);
    next.firstToken(4000);
    next.release();
    assert.equal(ledger.prefillRate(slot), 16_000);
  });

  it('moves little after one stall', () => {
    const { clock, ledger, slot } = setUp();
    const sample = (ms: number): void => {
      const lease = ledger.acquire(slot, stream(2000));
      clock.advance(ms);
      lease.firstToken(2000);
      lease.release();
    };
    for (let round = 0; round < 30; round++) sample(250);
    sample(60_000);
    assert.ok(ledger.prefillRate(slot) > 6000, String(ledger.prefillRate(slot)));
  });

  it('is the median of the others while a worker has none, and gone with the worker', () => {
    const { clock, ledger, slot } = setUp();
    const learn = (at: number, rate: number): void => {
      const lease = ledger.acquire(at, stream(8000));
      clock.advance((8000 / rate) * 1000);
      lease.firstToken(8000);
      lease.release();
    };
    const others = [4000, 16_000, 5000].map((rate) => {
      const other = ledger.allocate().slot;
      learn(other, rate);
      return other;
    });
    assert.equal(Math.round(ledger.prefillRate(slot)), 5000);
    ledger.free(others[2] ?? -1);
    assert.equal(Math.round(ledger.prefillRate(slot)), 10_000);
    assert.equal(Math.round(ledger.prefillRate(ledger.allocate().slot)), 10_000);
  });
});

describe('external load', () => {
  it('is what the engine reports beyond our own, until it is too old', () => {
    const { clock, ledger, slot } = setUp();
    ledger.setExternalTtl(3000);
    const lease = ledger.acquire(slot, stream(10));
    ledger.setExternal(slot, 5, 1, clock.now());
    assert.equal(ledger.running(slot), 5);
    lease.release();
    assert.equal(ledger.running(slot), 4);
    clock.advance(3000);
    checkColumns(ledger, [slot]);
    assert.equal(ledger.running(slot), 4);
    clock.advance(1);
    checkColumns(ledger, [slot]);
    assert.equal(ledger.running(slot), 0);
  });

  it('is reckoned with what was ours when the report was made, not with what is by now', () => {
    const { clock, ledger, slot } = setUp();
    const leases = Array.from({ length: 6 }, () => ledger.acquire(slot, stream(10)));
    const reported = 8;
    const takenAt = clock.now();
    for (const lease of leases) lease.release();
    clock.advance(500);
    ledger.setExternal(slot, reported, leases.length, takenAt);
    assert.equal(ledger.running(slot), 2);
  });

  it('may be told from our own by the most we had while the report was on its way', () => {
    const { ledger, slot } = setUp();
    const before = [ledger.acquire(slot, stream(10)), ledger.acquire(slot, stream(10))];
    ledger.watchKnown(slot);
    assert.equal(ledger.mostKnown(slot), 2);
    const brief = ledger.acquire(slot, stream(10));
    for (const lease of [brief, ...before]) lease.release();
    assert.equal(ledger.mostKnown(slot), 3);
    ledger.watchKnown(slot);
    assert.equal(ledger.mostKnown(slot), 0);
  });

  it('is never negative and never stays with the slot', () => {
    const { clock, ledger, slot } = setUp();
    ledger.acquire(slot, stream(10)).release();
    const lease = ledger.acquire(slot, stream(10));
    ledger.setExternal(slot, 0, 1, clock.now());
    assert.equal(ledger.running(slot), 1);
    lease.release();
    ledger.setExternal(slot, 7, 0, clock.now());
    ledger.free(slot);
    assert.equal(ledger.running(ledger.allocate().slot), 0);
  });
});

describe('slots', () => {
  it('are reused only when their leases are back, with a new generation', () => {
    const { ledger, slot } = setUp();
    const lease = ledger.acquire(slot, whole(10));
    ledger.free(slot);
    assert.throws(() => ledger.acquire(slot, whole(1)), RangeError);
    assert.throws(() => {
      ledger.free(slot);
    }, RangeError);
    assert.notEqual(ledger.allocate().slot, slot);
    lease.release();
    const again = ledger.allocate();
    assert.equal(again.slot, slot);
    assert.notEqual(again.generation, lease.generation);
  });

  it('grow beyond the first capacity without losing counts', () => {
    const { ledger, slot } = setUp();
    const lease = ledger.acquire(slot, stream(7));
    const slots = Array.from({ length: 100 }, () => ledger.allocate().slot);
    assert.equal(new Set([slot, ...slots]).size, 101);
    const last = ledger.acquire(100, stream(9));
    assert.deepEqual(counters(ledger, slot), [1, 1, 7, 7]);
    assert.deepEqual(counters(ledger, 100), [1, 1, 9, 9]);
    lease.release();
    last.release();
    assert.equal(ledger.openLeases, 0);
  });
});

type Step =
  | { readonly do: 'acquire'; readonly worker: number; readonly tokens: number; readonly stream: boolean }
  | { readonly do: 'first' | 'release' | 'grow'; readonly lease: number; readonly tokens: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'replace'; readonly worker: number };

const tokenCount = fc.oneof(fc.nat(20_000), fc.double({ min: 0, max: 1e6, noNaN: true }));
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('acquire' as const),
      worker: fc.nat(3),
      tokens: tokenCount,
      stream: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('first' as const, 'release' as const, 'grow' as const),
      lease: fc.nat(40),
      tokens: tokenCount,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.double({ min: 0, max: 3000, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replace' as const), worker: fc.nat(3) }) },
);

interface Expected {
  readonly lease: Lease;
  readonly prefill: number;
  readonly stream: boolean;
  kv: number;
  waiting: boolean;
}

/** What must hold at every instant, from a list of all open leases. */
function checkSlot(ledger: LoadLedger, slot: number, open: readonly Expected[]): void {
  const mine = open.filter(({ lease }) => lease.slot === slot);
  assert.equal(ledger.own(slot), mine.length);
  assert.equal(
    ledger.kvTokens(slot),
    mine.reduce((sum, { kv }) => sum + kv, 0),
  );
  const streams = mine.filter((one) => one.stream && one.waiting);
  const surely = streams.reduce((sum, { prefill }) => sum + prefill, 0);
  const others = mine.reduce((sum, one) => sum + (one.stream ? 0 : one.prefill), 0);
  const prefill = ledger.prefillTokens(slot);
  assert.ok(
    prefill >= surely && prefill <= surely + others,
    `${String(prefill)} of ${String(surely)} + ${String(others)}`,
  );
  assert.ok(ledger.prefillRate(slot) > 0 && Number.isFinite(ledger.prefillRate(slot)));
}

/** A look at all at once shows the same. */
function checkColumns(ledger: LoadLedger, slots: readonly number[]): void {
  const { running, prefillTokens, prefillRate } = ledger.columns();
  for (const slot of slots) {
    // Asked for one by one first, they would have been brought up to date by that.
    const seen = [running[slot], prefillTokens[slot], prefillRate[slot]];
    assert.deepEqual(seen, [ledger.running(slot), ledger.prefillTokens(slot), ledger.prefillRate(slot)]);
  }
}

describe('properties', () => {
  it('counts are exact in any interleaving and return to exactly zero', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const clock = new VirtualClock();
        const ledger = new LoadLedger(clock);
        const workers = Array.from({ length: 4 }, () => ledger.allocate().slot);
        const open: Expected[] = [];
        const run = (one: Step): void => {
          if (one.do === 'advance') {
            clock.advance(one.ms);
          } else if (one.do === 'acquire') {
            const slot = workers[one.worker] ?? 0;
            const lease = ledger.acquire(slot, {
              prefillTokens: one.tokens,
              kvTokens: one.tokens,
              stream: one.stream,
            });
            const tokens = Math.round(one.tokens);
            open.push({ lease, prefill: tokens, stream: one.stream, kv: tokens, waiting: true });
          } else if (one.do === 'replace') {
            ledger.free(workers[one.worker] ?? 0);
            const { slot } = ledger.allocate();
            assert.ok(!open.some(({ lease }) => lease.slot === slot), 'a slot with open leases was reused');
            workers[one.worker] = slot;
          } else {
            const target = open[one.lease % Math.max(1, open.length)];
            if (target === undefined) return;
            if (one.do === 'first') {
              target.lease.firstToken(one.tokens);
              target.waiting = false;
            } else if (one.do === 'grow') {
              target.lease.tokens(one.tokens);
              target.kv += Math.round(one.tokens);
            } else {
              assert.equal(target.lease.release(), true);
              open.splice(open.indexOf(target), 1);
            }
          }
        };
        for (const one of steps) {
          run(one);
          assert.equal(ledger.openLeases, open.length);
          checkColumns(ledger, workers);
          for (const slot of workers) checkSlot(ledger, slot, open);
        }
        const slots = new Set([...workers, ...open.map(({ lease }) => lease.slot)]);
        for (const { lease } of open) lease.release();
        assert.equal(ledger.openLeases, 0);
        for (const slot of slots) assert.deepEqual(counters(ledger, slot), [0, 0, 0, 0]);
      }),
      { numRuns: 400, seed: 7 },
    );
  });
});
