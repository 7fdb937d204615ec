import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFor, FakeFleet, prompt } from '../../test/support/pool.ts';
import { PairChooser, type PairAsk, type PairDecision } from './pair-chooser.ts';

const [P, D] = [0, 1];

function chooser(fleet: FakeFleet): PairChooser {
  return new PairChooser({ ...fleet.deps, capacityOf: () => Infinity });
}

function choose(fleet: FakeFleet, more: Partial<PairAsk> = {}): PairDecision {
  return chooser(fleet).choose(askFor(prompt(8192)), {
    prefill: fleet.pool([P]),
    decode: fleet.pool([D]),
    whole: fleet.pool([D]),
    chosen: {},
    rule: { kind: 'auto' },
    mostTokens: 100,
    may: () => true,
    ...more,
  });
}

describe('who chooses pairs', () => {
  it('foresees the first token without what the request delays others by', () => {
    const idle = new FakeFleet();
    const busy = new FakeFleet();
    busy.at(D).running = 20;
    const [first, second] = [choose(idle).pair, choose(busy).pair];
    assert.ok(first && second);
    assert.equal(second.ttftSeconds, first.ttftSeconds);
    assert.ok((choose(busy).split.pairSeconds ?? 0) > (choose(idle).split.pairSeconds ?? Infinity));
  });

  it('names the best pair also where one worker is sooner', () => {
    const { split, pair } = choose(new FakeFleet());
    assert.deepEqual([split.split, split.reason], [false, 'whole_sooner']);
    assert.deepEqual([pair?.prefill.index, pair?.decode.index], [0, 0]);
  });

  it('splits where the decode worker is writing answers, or where it is told to', () => {
    const fleet = new FakeFleet();
    fleet.at(D).running = 20;
    assert.equal(choose(fleet).split.reason, 'pair_sooner');
    assert.equal(choose(new FakeFleet(), { rule: { kind: 'always' } }).split.split, true);
  });

  it('has no pair where none may hand over', () => {
    const { split, pair } = choose(new FakeFleet(), { may: () => false });
    assert.deepEqual([split.split, split.reason, pair], [false, 'no_pair', undefined]);
  });

  it('completes the pair of which one half is chosen already', () => {
    const fleet = new FakeFleet();
    fleet.at(0).prefillTokens = 100_000;
    const { pair } = choose(fleet, { prefill: fleet.pool([0, 2]), chosen: { prefill: 0 } });
    assert.equal(pair?.prefill.index, 0);
  });
});
