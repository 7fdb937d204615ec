import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Places } from './places.ts';
import { JoinedMemory, SharedMemory } from './thread-memory.ts';

/** What each of so many threads has of the same places; control's first. */
function open(threads: number, limit: number): Places[] {
  const control = new SharedMemory(threads);
  const first = new Places(control, 'places', limit);
  const others = Array.from({ length: threads }, (_, index) => {
    const memory = new JoinedMemory(control.regions, { rows: threads + 1, self: index + 1 });
    return new Places(memory, 'places', 1_000_000);
  });
  return [first, ...others];
}

describe('places', () => {
  it('are those of all threads, and row 0 says how many', () => {
    const [control, one, other] = open(2, 2);
    assert.ok(control && one && other);
    assert.deepEqual([one.take(), other.take(), one.take(), control.take()], [true, true, false, false]);
    one.reconfigure(9);
    assert.equal(other.take(), false);
    control.reconfigure(3);
    assert.deepEqual([one.limit, one.full, other.take(), one.full], [3, false, true, true]);
    control.reconfigure(1);
    one.give();
    assert.deepEqual([control.count, other.take()], [2, false]);
  });

  it('may be without a limit', () => {
    const [control, one] = open(1, Infinity);
    assert.ok(control && one);
    for (let turn = 0; turn < 1000; turn += 1) assert.ok(one.take());
    assert.deepEqual([control.limit, control.full, control.count], [Infinity, false, 1000]);
  });

  it('are never more than there are, and each returns, whatever comes and goes', () => {
    const row = fc.nat(3);
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('take' as const), row }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('give' as const), row }) },
      fc.record({ do: fc.constant('hand' as const), row }),
      fc.record({ do: fc.constant('die' as const), row: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ do: fc.constant('limit' as const), row: fc.nat(6) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const threads = open(3, 4);
        const [control] = threads;
        assert.ok(control);
        const held = [0, 0, 0, 0];
        let limit = 4;
        const sum = (): number => held.reduce((total, one) => total + one, 0);
        for (const { do: what, row: of } of steps) {
          const mine = held[of] ?? 0;
          if (what === 'take') {
            const got = threads[of]?.take();
            assert.equal(got, sum() < limit);
            if (got) held[of] = mine + 1;
          } else if (what === 'give' && mine > 0) {
            threads[of]?.give();
            held[of] = mine - 1;
          } else if (what === 'hand' && (held[0] ?? 0) > 0) {
            control.handTo(of);
            held[0] = (held[0] ?? 0) - 1;
            held[of] = (held[of] ?? 0) + 1;
          } else if (what === 'die') {
            control.reclaim(of);
            held[of] = 0;
          } else if (what === 'limit') control.reconfigure((limit = of));
          assert.equal(control.count, sum());
        }
        for (const of of held.keys()) control.reclaim(of);
        assert.equal(control.count, 0);
      }),
      { numRuns: 300, seed: 47 },
    );
  });
});
