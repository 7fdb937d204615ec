import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeFleet, askFor, dispatch } from '../../../test/support/pool.ts';
import type { Ask } from '../policy.ts';
import { ConsistentHashPolicy, type ConsistentHashSettings } from './consistent-hash.ts';
import { RendezvousHashPolicy } from './rendezvous-hash.ts';

const TTL = 1_800_000;

function ring(fleet: FakeFleet, settings: Partial<ConsistentHashSettings> = {}): ConsistentHashPolicy {
  return new ConsistentHashPolicy(
    { virtualNodes: 160, loadBound: undefined, stickyTtlMs: TTL, ...settings },
    fleet.deps,
  );
}

const session = (i: number): Ask => askFor(undefined, { value: `session-${i}` });
const print = (i: number): Ask => askFor(undefined, { source: 'prompt', value: `print-${i}`, sticky: false });
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe('consistent_hash', () => {
  it('keeps a key on its owner whatever the load and the ramp', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    for (const i of range(200)) {
      const home = dispatch(policy, print(i), fleet.pool(4));
      assert.equal(home.reason, 'ring_owner');
      fleet.at(home.index).running = 500;
      fleet.at(home.index).ramp = 10;
      assert.equal(dispatch(policy, print(i), fleet.pool(4)).index, home.index);
    }
  });

  it('spreads the keys of a masked worker over the others, and gives them back', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    for (const ask of [print, session]) {
      const homes = range(400).map((i) => dispatch(policy, ask(i), fleet.pool(4)).index);
      const heirs = new Set<number>();
      range(400).forEach((i) => {
        const choice = dispatch(policy, ask(i), fleet.pool(4, { masked: [2] }));
        if (homes[i] === 2) heirs.add(choice.index);
        else assert.equal(choice.index, homes[i]);
        assert.equal(choice.reason === 'ring_next', homes[i] === 2);
      });
      assert.deepEqual([...heirs].sort(), [0, 1, 3]);
      assert.deepEqual(
        range(400).map((i) => dispatch(policy, ask(i), fleet.pool(4)).index),
        homes,
      );
    }
  });

  it('does not move live sessions when the fleet grows, but new ones and prompts do use the new worker', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    const before = fleet.pool(3);
    const after = fleet.pool(4, { generation: 2 });
    const homes = range(300).map((i) => dispatch(policy, session(i), before).index);
    range(300).forEach((i) => {
      const choice = dispatch(policy, session(i), after);
      assert.deepEqual([choice.index, choice.reason], [homes[i], 'sticky']);
    });
    assert.ok(range(300).some((i) => dispatch(policy, session(1000 + i), after).index === 3));
    assert.ok(range(300).some((i) => dispatch(policy, print(i), after).index === 3));
  });

  it('keeps a session at home for as long as it goes on', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    range(20).forEach((i) => dispatch(policy, session(i), fleet.pool(3)));
    for (let turn = 0; turn < 4; turn++) {
      fleet.clock.advance(TTL - 1);
      const after = fleet.pool(4, { generation: 2 });
      range(20).forEach((i) => assert.equal(dispatch(policy, session(i), after).reason, 'sticky'));
    }
  });

  it('lets an idle session go when its time is over', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    range(100).forEach((i) => dispatch(policy, session(i), fleet.pool(3)));
    const after = fleet.pool(4, { generation: 2 });
    fleet.clock.advance(TTL + 1);
    const reasons = new Set(range(100).map((i) => dispatch(policy, session(i), after).reason));
    assert.deepEqual([...reasons], ['ring_owner']);
  });

  it('pins only to the owner itself, not to a stand-in', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    const fresh = ring(fleet);
    const homes = range(200).map((i) => dispatch(fresh, session(i), fleet.pool(4)).index);
    range(200).forEach((i) => dispatch(policy, session(i), fleet.pool(4, { masked: [homes[i]!] })));
    range(200).forEach((i) => {
      const choice = dispatch(policy, session(i), fleet.pool(4));
      assert.deepEqual([choice.index, choice.reason], [homes[i], 'ring_owner']);
    });
  });

  it('gives no pin to the next worker in a slot, and finds a worker again under another index', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    const homes = range(100).map((i) => dispatch(policy, session(i), fleet.pool([0, 1, 2])).index);
    // Worker 0 is gone, the others moved up.
    range(100).forEach((i) => {
      const choice = dispatch(policy, session(i), fleet.pool([1, 2], { generation: 2 }));
      if (homes[i] === 0) assert.equal(choice.reason, 'ring_owner');
      else assert.deepEqual([choice.index, choice.reason], [homes[i]! - 1, 'sticky']);
    });
  });

  it('gives a session a home per pool', () => {
    const fleet = new FakeFleet();
    const policy = ring(fleet);
    const one = fleet.pool([0, 1], { key: 'one' });
    const other = fleet.pool([2, 3], { key: 'other' });
    const first = dispatch(policy, session(1), one);
    assert.equal(dispatch(policy, session(1), other).reason, 'ring_owner');
    const again = dispatch(policy, session(1), one);
    assert.deepEqual([again.index, again.reason], [first.index, 'sticky']);
  });

  it('with a load bound walks on from a worker far above the mean, pinned or not', () => {
    const fleet = new FakeFleet();
    for (const ask of [print(1), session(1)]) {
      const policy = ring(fleet, { loadBound: 1.25 });
      const home = dispatch(policy, ask, fleet.pool(4)).index;
      for (const slot of range(4)) fleet.at(slot).running = slot === home ? 14 : 10;
      assert.equal(dispatch(policy, ask, fleet.pool(4)).index, home);
      fleet.at(home).running = 15;
      const moved = dispatch(policy, ask, fleet.pool(4));
      assert.deepEqual([moved.index === home, moved.reason], [false, 'load_bound']);
      fleet.at(home).running = 10;
      assert.equal(dispatch(policy, ask, fleet.pool(4)).index, home);
      for (const slot of range(4)) fleet.at(slot).running = 0;
    }
  });
});

describe('rendezvous_hash', () => {
  const rendezvous = (fleet: FakeFleet, loadBound?: number) =>
    new RendezvousHashPolicy({ loadBound }, fleet.deps);

  it('keeps a key on its owner, lends it out while that is masked, and moves it only to a new worker', () => {
    const fleet = new FakeFleet();
    const policy = rendezvous(fleet);
    range(300).forEach((i) => {
      const home = dispatch(policy, session(i), fleet.pool(4));
      assert.equal(home.reason, 'highest_draw');
      fleet.at(home.index).running += 3;
      const away = dispatch(policy, session(i), fleet.pool(4, { masked: [home.index] }));
      assert.ok(away.index !== home.index && away.reason === 'next_draw');
      assert.equal(dispatch(policy, session(i), fleet.pool(4)).index, home.index);
      const grown = dispatch(policy, session(i), fleet.pool(5, { generation: 2 })).index;
      assert.ok(grown === home.index || grown === 4);
    });
  });

  it('bounds loads when asked to', () => {
    const fleet = new FakeFleet();
    const policy = rendezvous(fleet, 1.25);
    const home = dispatch(policy, session(1), fleet.pool(4)).index;
    for (const slot of range(4)) fleet.at(slot).running = slot === home ? 15 : 10;
    assert.equal(dispatch(policy, session(1), fleet.pool(4)).reason, 'load_bound');
  });
});
