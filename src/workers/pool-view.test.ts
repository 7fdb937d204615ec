import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import type { BreakerSettings, HealthSettings } from '../config/settings/settings.ts';
import { EXCLUSION_NAMES } from '../routing/policy.ts';
import { LoadLedger } from './ledger.ts';
import { viewPool } from './pool-view.ts';
import type { PoolView } from './pool-view.ts';
import { WorkerRegistry } from './registry.ts';
import type { Worker } from './worker.ts';

const breaker: BreakerSettings = {
  enabled: true,
  failureThreshold: 1,
  successThreshold: 1,
  openMs: 1000,
  windowMs: 1000,
  halfOpenTrials: 1,
};
const health: HealthSettings = {
  path: '/health',
  intervalMs: 60_000,
  timeoutMs: 5000,
  failureThreshold: 1,
  successThreshold: 1,
};
const slowStartMs = 30_000;

/** `size` healthy workers that are long past their slow start. */
function setUp(size: number) {
  const clock = new VirtualClock();
  const registry = new WorkerRegistry({ clock, ledger: new LoadLedger(clock), breaker, health, slowStartMs });
  const workers = Array.from({ length: size }, (_, index) => {
    const id = `w${String(index)}`;
    const worker = registry.add({
      baseUrl: id,
      rank: undefined,
      id,
      apiKey: undefined,
      traits: DEFAULT_TRAITS,
    });
    registry.reportCheck(worker, true);
    return worker;
  });
  clock.advance(slowStartMs);
  const worker = (index: number): Worker => {
    const found = workers[index];
    assert.ok(found);
    return found;
  };
  const view = (...tried: number[]): PoolView =>
    viewPool(registry.membersFor(''), {
      tried: new Set(tried.map((index) => worker(index).slot)),
      now: clock.now(),
      slowStartMs,
      version: registry.version,
    });
  const failing = (index: number): boolean => worker(index).breaker.permit(clock.now()).failure();
  return { clock, registry, worker, view, failing };
}

function states(view: PoolView): readonly (string | undefined)[] {
  return Array.from(view.mask, (exclusion) => EXCLUSION_NAMES[exclusion]);
}

describe('filters', () => {
  const filtered = (minPriority: number, maxCost: number) => {
    const { registry, clock, worker, failing } = setUp(4);
    const traits = [
      [10, 1],
      [60, 1],
      [60, 3],
      [90, 0.5],
    ] as const;
    for (const [index, [priority, cost]] of traits.entries())
      registry.setTraits(worker(index), { ...DEFAULT_TRAITS, priority, cost });
    const options = {
      tried: new Set<number>(),
      now: clock.now(),
      slowStartMs,
      filters: { minPriority, maxCost },
    };
    return { worker, registry, failing, view: () => viewPool(registry.membersFor(''), options) };
  };

  it('leave out workers of a lower priority or a higher cost, and say which it was', () => {
    assert.deepEqual(states(filtered(60, 1).view()), ['priority', 'eligible', 'cost', 'eligible']);
    assert.deepEqual(states(filtered(-Infinity, 0.5).view()), ['cost', 'cost', 'cost', 'eligible']);
    assert.equal(filtered(91, Infinity).view().eligible, 0);
  });

  it('name what the request does not want before the state it is in', () => {
    const { worker, registry, view } = filtered(60, Infinity);
    registry.reportCheck(worker(0), false);
    worker(1).draining = true;
    assert.deepEqual(states(view()), ['priority', 'draining', 'eligible', 'eligible']);
  });

  it('hold also where circuits alone keep all wanted workers away', () => {
    const { failing, view } = filtered(61, Infinity);
    failing(0);
    failing(3);
    const seen = view();
    assert.deepEqual(states(seen), ['priority', 'priority', 'priority', 'eligible']);
    assert.equal(seen.failedOpen, true);
  });
});

describe('the mask', () => {
  it('says who is excluded and why', () => {
    const { registry, worker, view, failing } = setUp(5);
    registry.reportCheck(worker(0), false);
    worker(1).draining = true;
    failing(2);
    const seen = view(3);
    assert.deepEqual(states(seen), ['unhealthy', 'draining', 'breaker_open', 'tried', 'eligible']);
    assert.equal(seen.eligible, 1);
    assert.equal(seen.failedOpen, false);
    assert.equal(seen.members, registry.membersFor('').members);
    assert.equal(seen.generation, registry.membersFor('').generation);
    assert.equal(seen.key, '');
  });

  it('lets a half-open worker in while a trial place is free', () => {
    const { clock, worker, view, failing } = setUp(2);
    failing(0);
    clock.advance(1000);
    assert.deepEqual(states(view()), ['eligible', 'eligible']);
    const trial = worker(0).breaker.permit(clock.now());
    assert.deepEqual(states(view()), ['breaker_open', 'eligible']);
    trial.cancel();
    assert.deepEqual(states(view()), ['eligible', 'eligible']);
  });

  it('leaves it to the caller to try the tried again', () => {
    const { view } = setUp(2);
    assert.equal(view(0, 1).eligible, 0);
    assert.equal(view(0, 1).failedOpen, false);
  });

  it('is empty for a pool of none', () => {
    const { view } = setUp(0);
    assert.equal(view().eligible, 0);
    assert.equal(view().mask.length, 0);
  });
});

describe('failing open', () => {
  it('lets through the one that failed longest ago when breakers exclude all', () => {
    const { clock, view, failing } = setUp(3);
    for (const index of [1, 2, 0]) {
      failing(index);
      clock.advance(10);
    }
    const seen = view();
    assert.deepEqual(states(seen), ['breaker_open', 'eligible', 'breaker_open']);
    assert.equal(seen.eligible, 1);
    assert.equal(seen.failedOpen, true);
    assert.deepEqual(states(view(1)), ['breaker_open', 'breaker_open', 'eligible']);
    // Failing again makes it the last in line.
    failing(1);
    assert.deepEqual(states(view()), ['breaker_open', 'breaker_open', 'eligible']);
    assert.equal(view(0, 1, 2).eligible, 0);
  });

  it('does not happen while a worker is fit but tried', () => {
    const { view, failing } = setUp(2);
    failing(0);
    assert.deepEqual(states(view(1)), ['breaker_open', 'tried']);
    assert.equal(view(1).failedOpen, false);
  });

  it('never chooses the unhealthy or the draining', () => {
    const { registry, worker, view, failing } = setUp(3);
    for (const index of [0, 1, 2]) failing(index);
    registry.reportCheck(worker(0), false);
    worker(1).draining = true;
    assert.deepEqual(states(view()), ['unhealthy', 'draining', 'eligible']);
    worker(2).draining = true;
    assert.equal(view().eligible, 0);
    assert.equal(view().failedOpen, false);
  });
});

describe('slow start', () => {
  it('falls from 10 to 1 for a worker that has just recovered', () => {
    const { clock, registry, worker, view } = setUp(2);
    registry.reportCheck(worker(1), false);
    registry.reportCheck(worker(1), true);
    assert.deepEqual([view().ramp(0), view().ramp(1)], [1, 10]);
    clock.advance(slowStartMs / 2);
    assert.equal(view().ramp(1), 5.5);
    clock.advance(slowStartMs / 2);
    assert.equal(view().ramp(1), 1);
  });

  it('spares nobody when all eligible ramp', () => {
    const { registry, worker, view } = setUp(3);
    for (const index of [1, 2]) {
      registry.reportCheck(worker(index), false);
      registry.reportCheck(worker(index), true);
    }
    assert.deepEqual([view().ramp(1), view().ramp(2)], [10, 10]);
    const others = view(0);
    assert.deepEqual([others.ramp(1), others.ramp(2)], [1, 1]);
  });

  it('is off at 0 ms', () => {
    const { clock, registry, worker } = setUp(2);
    registry.reportCheck(worker(1), false);
    registry.reportCheck(worker(1), true);
    const seen = viewPool(registry.membersFor(''), { tried: new Set(), now: clock.now(), slowStartMs: 0 });
    assert.equal(seen.ramp(1), 1);
  });
});

describe('a fleet of which the version is told', () => {
  it('is not looked at again while it is the same', () => {
    const { view, worker } = setUp(3);
    const first = view();
    assert.equal(view(), first);
    assert.notEqual(view(1), first);
    assert.equal(view(), first);
    worker(2).draining = true;
    assert.deepEqual(states(view()), ['eligible', 'eligible', 'draining']);
  });

  it('is seen as by somebody who looks at everybody, whatever changes in between', () => {
    const size = 4;
    const change = fc.record({
      what: fc.constantFrom('check', 'fail', 'trial', 'drain', 'engine', 'progress', 'time', 'join', 'leave'),
      index: fc.nat(size - 1),
      yes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const { registry, clock, worker, view, failing } = setUp(size);
        for (const { what, index, yes } of changes) {
          const one = worker(index);
          if (what === 'check') registry.reportCheck(one, yes);
          else if (what === 'fail') failing(index);
          else if (what === 'trial') one.breaker.permit(clock.now());
          else if (what === 'drain') one.draining = yes;
          else if (what === 'engine') registry.setEngine(one, yes ? 'running' : 'sleeping');
          else if (what === 'progress') registry.setProgress(one, yes ? 'moving' : 'stalled');
          else if (what === 'time') clock.advance(yes ? 500 : slowStartMs / 2);
          else if (what === 'join') registry.add({ ...one.spec, id: `x${registry.version}` });
          else registry.remove(one);
          const now = clock.now();
          const [seen, fresh] = [
            view(),
            viewPool(registry.membersFor(''), { tried: new Set(), now, slowStartMs }),
          ];
          assert.deepEqual(states(seen), states(fresh));
          assert.deepEqual([seen.eligible, seen.failedOpen], [fresh.eligible, fresh.failedOpen]);
          const ramps = (of: PoolView): number[] => of.members.map((_, place) => of.ramp(place));
          assert.deepEqual(ramps(seen), ramps(fresh));
        }
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});

describe('properties', () => {
  it('counts the eligible, excludes for true reasons only, and fails open to one', () => {
    const state = fc.record({
      sick: fc.boolean(),
      draining: fc.boolean(),
      failing: fc.boolean(),
      tried: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(state, { maxLength: 6 }), (fleet) => {
        const { registry, worker, view, failing, clock } = setUp(fleet.length);
        const tried: number[] = [];
        fleet.forEach((one, index) => {
          if (one.sick) registry.reportCheck(worker(index), false);
          if (one.draining) worker(index).draining = true;
          if (one.failing) failing(index);
          if (one.tried) tried.push(index);
          clock.advance(1);
        });
        const seen = view(...tried);
        const eligible = states(seen).flatMap((name, index) => (name === 'eligible' ? [index] : []));
        assert.equal(seen.eligible, eligible.length);
        const sound = fleet.flatMap((one, index) => (one.sick || one.draining ? [] : [index]));
        const fit = sound.filter((index) => !fleet[index]?.failing);
        if (fit.length > 0) {
          assert.deepEqual(
            eligible,
            fit.filter((index) => !tried.includes(index)),
          );
        } else {
          assert.deepEqual(eligible, sound.filter((index) => !tried.includes(index)).slice(0, 1));
        }
        assert.equal(seen.failedOpen, fit.length === 0 && eligible.length === 1);
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});
