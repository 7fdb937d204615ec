import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { BreakerSettings } from '../config/settings/settings.ts';
import { Breaker, BREAKER_STATE_CODES } from './breaker.ts';
import type { Permit, PermitEnd } from './permit.ts';

const settings: BreakerSettings = {
  enabled: true,
  failureThreshold: 3,
  successThreshold: 2,
  openMs: 1000,
  windowMs: 500,
  halfOpenTrials: 2,
};

function setUp(changes: Partial<BreakerSettings> = {}) {
  const clock = new VirtualClock();
  const transitions: string[] = [];
  const breaker = new Breaker({ ...settings, ...changes }, clock, (from, to) => {
    transitions.push(`${from} -> ${to}`);
  });
  const permit = (): Permit => breaker.permit(clock.now());
  const state = (): string => breaker.state(clock.now());
  const admits = (): boolean => breaker.admits(clock.now());
  const open = (): void => {
    for (let failure = 0; failure < settings.failureThreshold; failure++) permit().failure();
  };
  return { clock, breaker, transitions, permit, state, admits, open };
}

describe('a closed breaker', () => {
  it('opens after enough consecutive failures', () => {
    const { breaker, clock, permit, state, admits, transitions } = setUp();
    permit().failure();
    permit().failure();
    permit().success();
    permit().failure();
    permit().failure();
    assert.equal(state(), 'closed');
    clock.advance(10);
    permit().failure();
    assert.equal(state(), 'open');
    assert.equal(admits(), false);
    assert.equal(breaker.failedAt, 10);
    assert.deepEqual(transitions, ['closed -> open']);
    assert.equal(BREAKER_STATE_CODES[breaker.state(clock.now())], 1);
  });

  it('counts only failures that lie within the window together', () => {
    const { clock, permit, state } = setUp();
    for (let failure = 0; failure < 10; failure++) {
      permit().failure();
      clock.advance(251);
    }
    assert.equal(state(), 'closed');
    permit().failure();
    permit().failure();
    assert.equal(state(), 'open');
  });

  it('stays closed for aborted requests, and keeps the count over them', () => {
    const { permit, state } = setUp();
    permit().failure();
    permit().failure();
    permit().cancel();
    assert.equal(state(), 'closed');
    permit().failure();
    assert.equal(state(), 'open');
  });

  it('never opens when disabled', () => {
    const { permit, state, admits } = setUp({ enabled: false });
    for (let failure = 0; failure < 1000; failure++) permit().failure();
    assert.equal(state(), 'closed');
    assert.equal(admits(), true);
  });
});

describe('an open breaker', () => {
  it('becomes half-open when its time is up', () => {
    const { clock, open, state, admits, transitions } = setUp();
    open();
    clock.advance(999);
    assert.equal(state(), 'open');
    clock.advance(1);
    assert.equal(admits(), true);
    assert.deepEqual(transitions, ['closed -> open', 'open -> half_open']);
  });

  it('is not moved by what was sent before or in spite of it', () => {
    const { breaker, clock, open, permit, state } = setUp();
    const early = [permit(), permit(), permit(), permit()];
    open();
    const forced = permit();
    clock.advance(500);
    early[0]?.success();
    forced.failure();
    assert.equal(breaker.failedAt, 500);
    clock.advance(500);
    assert.equal(state(), 'half_open');
    early[1]?.failure();
    early[2]?.success();
    early[3]?.success();
    assert.equal(state(), 'half_open');
  });
});

describe('a half-open breaker', () => {
  function halfOpen(changes?: Partial<BreakerSettings>) {
    const all = setUp(changes);
    all.open();
    all.clock.advance(1000);
    return all;
  }

  it('admits a bounded number of trials at once', () => {
    const { permit, admits } = halfOpen();
    const first = permit();
    assert.equal(admits(), true);
    permit();
    assert.equal(admits(), false);
    assert.equal(first.cancel(), true);
    assert.equal(admits(), true);
    assert.equal(first.cancel(), false);
    permit();
    assert.equal(admits(), false);
  });

  it('closes after enough successes', () => {
    const { permit, state, transitions } = halfOpen();
    permit().success();
    assert.equal(state(), 'half_open');
    permit().success();
    assert.equal(state(), 'closed');
    assert.equal(transitions.at(-1), 'half_open -> closed');
  });

  it('opens again at any failure, for the full time', () => {
    const { clock, permit, state, admits } = halfOpen();
    const trial = permit();
    permit().failure();
    assert.equal(state(), 'open');
    clock.advance(999);
    assert.equal(state(), 'open');
    clock.advance(1);
    // A trial of the former half-open time takes no place of this one and decides nothing.
    permit();
    assert.equal(trial.failure(), true);
    assert.equal(state(), 'half_open');
    permit();
    assert.equal(admits(), false);
  });

  it('opens again when a request let through without a trial place fails', () => {
    const { permit, state } = halfOpen({ halfOpenTrials: 1 });
    permit();
    permit().failure();
    assert.equal(state(), 'open');
  });
});

type Step =
  | { readonly do: 'send' }
  | { readonly do: 'end'; readonly which: number; readonly as: PermitEnd }
  | { readonly do: 'advance'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('send' as const) }),
  fc.record({
    do: fc.constant('end' as const),
    which: fc.nat(9),
    as: fc.constantFrom<PermitEnd>('success', 'failure', 'failure', 'cancel'),
  }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.nat(600) }),
);

describe('properties', () => {
  it('trials never exceed their bound, only a run of failures opens, and no trial place is lost', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        const { clock, breaker, permit, state, admits, transitions } = setUp();
        const flying: { readonly permit: Permit; readonly epoch: number }[] = [];
        /** Times of the failures since the last success or transition. */
        let run: number[] = [];
        for (const one of steps) {
          const before = transitions.length;
          const was = state();
          if (one.do === 'send') {
            if (admits()) flying.push({ permit: permit(), epoch: transitions.length });
          } else if (one.do === 'advance') {
            clock.advance(one.ms);
          } else {
            const [ended] = flying.splice(one.which % Math.max(1, flying.length), 1);
            if (ended === undefined) continue;
            if (one.as === 'success') run = [];
            if (one.as === 'failure') run.push(clock.now());
            assert.equal(ended.permit[one.as](), true);
            assert.equal(ended.permit[one.as](), false);
          }
          state();
          if (transitions.length > before) {
            seen.add(transitions.at(-1) ?? '');
            if (was === 'closed') {
              const last = run.slice(-settings.failureThreshold);
              assert.equal(last.length, settings.failureThreshold);
              assert.ok(clock.now() - (last[0] ?? 0) <= settings.windowMs);
            }
            run = [];
          } else if (was === 'closed') {
            const recent = run.filter((at) => clock.now() - at <= settings.windowMs);
            assert.ok(recent.length < settings.failureThreshold);
          }
          const trials = flying.filter(({ epoch }) => epoch === transitions.length).length;
          if (state() === 'half_open') {
            assert.ok(trials <= settings.halfOpenTrials);
            assert.equal(admits(), trials < settings.halfOpenTrials);
          }
          assert.ok(breaker.failedAt <= clock.now());
        }
      }),
      { numRuns: 500, seed: 7 },
    );
    assert.deepEqual([...seen].sort(), [
      'closed -> open',
      'half_open -> closed',
      'half_open -> open',
      'open -> half_open',
    ]);
  });
});

describe('other settings while it runs', () => {
  it('leave an open breaker open, for as long as they say', () => {
    const { breaker, clock, open, state } = setUp();
    open();
    breaker.reconfigure({ ...settings, openMs: 5000 });
    clock.advance(1000);
    assert.equal(state(), 'open');
    clock.advance(4000);
    assert.equal(state(), 'half_open');
  });

  it('leave counted failures counted', () => {
    const { breaker, permit, state } = setUp();
    permit().failure();
    breaker.reconfigure({ ...settings, failureThreshold: 2 });
    assert.equal(state(), 'closed');
    permit().failure();
    assert.equal(state(), 'open');
  });

  it('close it where it is switched off, whatever was going on', () => {
    const { breaker, clock, open, permit, state, admits, transitions } = setUp();
    open();
    clock.advance(1000);
    const trial = permit();
    breaker.reconfigure({ ...settings, enabled: false });
    trial.failure();
    assert.deepEqual([state(), admits()], ['closed', true]);
    assert.equal(transitions.at(-1), 'half_open -> closed');
  });
});
