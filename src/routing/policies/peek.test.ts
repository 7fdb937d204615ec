import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, dispatch, FakeFleet, prompt } from '../../../test/support/pool.ts';
import type { Ask, Policy, Pool } from '../policy.ts';
import { ConsistentHashPolicy } from './consistent-hash.ts';
import { POLICIES } from './index.ts';
import { RoundRobinPolicy } from './round-robin.ts';

const peek = (policy: Policy, ask: Ask, pool: Pool) => (policy.peek ?? policy.choose).call(policy, ask, pool);

describe('a look at what a policy would choose', () => {
  it('does not take a turn', () => {
    const fleet = new FakeFleet();
    const policy = new RoundRobinPolicy(fleet);
    const pool = fleet.pool(3);
    const seen = [1, 2, 3, 4].map(() => {
      const looks = [peek(policy, askFor(), pool), peek(policy, askFor(), pool)];
      const choice = dispatch(policy, askFor(), pool);
      for (const look of looks) assert.deepEqual(look, choice);
      return choice.index;
    });
    assert.deepEqual(seen, [0, 1, 2, 0]);
  });

  it('pins no session, and does not prolong a pin', () => {
    const fleet = new FakeFleet();
    const settings = { virtualNodes: 40, loadBound: undefined, stickyTtlMs: 1000 };
    const policy = new ConsistentHashPolicy(settings, fleet.deps);
    const pool = fleet.pool(4);
    assert.equal(peek(policy, askFor(), pool).reason, 'ring_owner');
    assert.equal(dispatch(policy, askFor(), pool).reason, 'ring_owner');
    fleet.clock.advance(600);
    assert.equal(peek(policy, askFor(), pool).reason, 'sticky');
    fleet.clock.advance(600);
    assert.equal(peek(policy, askFor(), pool).reason, 'ring_owner');
  });

  it('is repeatable for every policy that does not draw by chance', () => {
    for (const name of [
      'round_robin',
      'consistent_hash',
      'rendezvous_hash',
      'cache_aware',
      'least_work',
    ] as const) {
      const fleet = new FakeFleet();
      fleet.at(1).running = 2;
      const settings = {
        ...{ type: name, virtualNodes: 20, loadBound: undefined, stickyTtlMs: 1000, theta: 0.3 },
        ...{ cacheThreshold: 0.3, balanceAbsThreshold: 64, balanceRelThreshold: 1.5 },
      };
      // Each policy reads its own parameters of these.
      const policy = POLICIES[name].create(settings as never, fleet.deps);
      const pool = fleet.pool(5);
      const ask = askFor(prompt(500));
      const first = peek(policy, ask, pool);
      for (let i = 0; i < 5; i += 1) assert.deepEqual(peek(policy, ask, pool), first, name);
      assert.deepEqual(dispatch(policy, ask, pool), first, name);
    }
  });
});
