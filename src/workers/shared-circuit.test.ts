import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker as Thread } from 'node:worker_threads';
import fc from 'fast-check';
import type { TrialReport, TrialTask } from '../../test/threads/trial-taker.ts';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { BreakerSettings } from '../config/settings/settings.ts';
import { BreakerCells, epochOf, wordOf } from './breaker-cells.ts';
import { Breaker } from './breaker.ts';
import type { Permit, PermitEnd } from './permit.ts';
import { ControlCircuit } from './control-circuit.ts';
import { ThreadCircuit, type CircuitReports } from './thread-circuit.ts';

const SETTINGS: BreakerSettings = {
  enabled: true,
  failureThreshold: 3,
  successThreshold: 2,
  openMs: 1000,
  windowMs: 500,
  halfOpenTrials: 2,
};
const SLOT = 7;

/** The circuit of one worker in control and in as many threads. What threads tell waits until it is delivered. */
class Bench {
  readonly clock = new VirtualClock();
  readonly transitions: string[] = [];
  readonly memory: SharedMemory;
  readonly cells: BreakerCells;
  readonly control: ControlCircuit;
  readonly threads: readonly ThreadCircuit[];
  readonly told: (() => void)[] = [];

  constructor(threads: number, changes: Partial<BreakerSettings> = {}) {
    const settings = { ...SETTINGS, ...changes };
    const { clock } = this;
    clock.advance(1);
    this.memory = new SharedMemory(threads);
    this.cells = new BreakerCells(this.memory);
    this.control = new ControlCircuit(this.cells, SLOT, {
      ...{ settings, clock },
      onTransition: (from, to) => void this.transitions.push(`${from} -> ${to}`),
    });
    const reports: CircuitReports = {
      tell: (...outcome) => {
        this.told.push(() => {
          this.control.count(...outcome);
        });
      },
      woke: () => {
        this.told.push(() => {
          this.control.follow();
        });
      },
    };
    this.threads = Array.from({ length: threads }, (_, index) => {
      const memory = new JoinedMemory(this.memory.regions, { rows: threads + 1, self: index + 1 });
      return new ThreadCircuit(new BreakerCells(memory), SLOT, { settings, clock, reports });
    });
  }

  thread(index: number): ThreadCircuit {
    const thread = this.threads[index % this.threads.length];
    assert.ok(thread);
    return thread;
  }

  permit(index: number): Permit {
    return this.thread(index).permit(this.clock.now());
  }

  deliver(): void {
    for (const tell of this.told.splice(0)) tell();
  }

  /** As control, all threads and the memory have it; they are one. */
  get state(): string {
    const states = new Set([this.control, ...this.threads].map((one) => one.state(this.clock.now())));
    assert.equal(states.size, 1);
    return [...states].join();
  }

  open(): void {
    for (let failure = 0; failure < SETTINGS.failureThreshold; failure++) this.permit(failure).failure();
    this.deliver();
    assert.equal(this.state, 'open');
  }

  halfOpen(): void {
    this.open();
    this.clock.advance(SETTINGS.openMs);
  }
}

type Step =
  | { readonly do: 'send'; readonly thread: number }
  | { readonly do: 'end'; readonly which: number; readonly as: PermitEnd }
  | { readonly do: 'advance'; readonly ms: number };

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('send' as const), thread: fc.nat(3) }),
    fc.record({
      do: fc.constant('end' as const),
      which: fc.nat(9),
      as: fc.constantFrom<PermitEnd>('success', 'failure', 'failure', 'cancel'),
    }),
    fc.record({ do: fc.constant('advance' as const), ms: fc.nat(600) }),
  ),
  { maxLength: 80, size: 'max' },
) satisfies fc.Arbitrary<Step[]>;

describe('a breaker that several threads go by', () => {
  it('does as that of one thread, whichever of them sends', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), steps, (threads, sequence) => {
        const bench = new Bench(threads);
        const transitions: string[] = [];
        const one = new Breaker(SETTINGS, bench.clock, (from, to) => transitions.push(`${from} -> ${to}`));
        const flying: { readonly ours: Permit; readonly model: Permit }[] = [];
        for (const step of sequence) {
          const now = bench.clock.now();
          if (step.do === 'advance') bench.clock.advance(step.ms);
          // Also where it is not admitted: it may be the only worker.
          else if (step.do === 'send')
            flying.push({ ours: bench.permit(step.thread), model: one.permit(now) });
          else {
            const [ended] = flying.splice(step.which % Math.max(1, flying.length), 1);
            assert.equal(ended?.ours[step.as](), ended?.model[step.as]());
            assert.notEqual(ended?.ours[step.as](), true);
          }
          bench.deliver();
          const later = bench.clock.now();
          const state = one.state(later);
          assert.equal(bench.state, state);
          bench.deliver();
          for (const circuit of [bench.control, ...bench.threads]) {
            assert.equal(circuit.admits(later), one.admits(later));
            assert.equal(circuit.isClosed, one.isClosed);
            assert.equal(circuit.failedAt, one.failedAt);
          }
          assert.deepEqual(bench.transitions, transitions);
        }
        for (const transition of transitions) seen.add(transition);
      }),
      { numRuns: 500, seed: 3 },
    );
    assert.equal(seen.size, 4);
  });

  it('keeps its bounds and comes to one state, however late control hears', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(fc.tuple(steps, fc.nat(3)), { maxLength: 20 }), (rounds) => {
        const bench = new Bench(3);
        const flying: { readonly permit: Permit; readonly trialIn: number | undefined }[] = [];
        for (const [sequence, heard] of rounds) {
          for (const step of sequence.slice(0, 5)) {
            if (step.do === 'advance') bench.clock.advance(step.ms);
            else if (step.do === 'send') {
              const now = bench.clock.now();
              const circuit = bench.thread(step.thread);
              const isTrial = circuit.admits(now) && circuit.state(now) === 'half_open';
              const epoch = epochOf(bench.cells.word(SLOT));
              flying.push({ permit: circuit.permit(now), trialIn: isTrial ? epoch : undefined });
            } else flying.splice(step.which % Math.max(1, flying.length), 1)[0]?.permit[step.as]();
            const epoch = epochOf(bench.cells.word(SLOT));
            assert.ok(flying.filter(({ trialIn }) => trialIn === epoch).length <= SETTINGS.halfOpenTrials);
          }
          for (const tell of bench.told.splice(0, heard)) tell();
        }
        for (const { permit } of flying) permit.cancel();
        bench.deliver();
        const last = bench.state;
        bench.deliver();
        let state = 'closed';
        for (const transition of bench.transitions) {
          assert.equal(transition.split(' ')[0], state);
          state = transition.split(' ')[2] ?? '';
          seen.add(transition);
        }
        assert.equal(state, last);
        if (last === 'half_open') assert.equal(bench.thread(0).admits(bench.clock.now()), true);
      }),
      { numRuns: 500, seed: 5 },
    );
    assert.equal(seen.size, 4);
  });

  it('opens for failures that no thread alone has seen enough of', () => {
    const bench = new Bench(2);
    bench.permit(0).failure();
    bench.permit(1).failure();
    bench.deliver();
    assert.equal(bench.state, 'closed');
    bench.permit(0).failure();
    bench.deliver();
    assert.deepEqual([bench.state, bench.transitions], ['open', ['closed -> open']]);
  });

  it('forgets counted failures for a success in any thread, and is told of no success without', () => {
    const bench = new Bench(2);
    bench.permit(0).success();
    assert.equal(bench.told.length, 0);
    bench.permit(0).failure();
    bench.permit(0).failure();
    // Not yet delivered, and known all the same.
    bench.permit(1).success();
    bench.deliver();
    bench.permit(1).failure();
    bench.deliver();
    assert.equal(bench.state, 'closed');
    bench.permit(1).success();
    bench.deliver();
    bench.permit(0).success();
    assert.equal(bench.told.length, 0);
  });

  it('lets as many trials through at once as it should, however many threads want one', () => {
    const bench = new Bench(2);
    bench.halfOpen();
    const wanted = Array.from({ length: 20 }, (_, index) => {
      const admitted = bench.thread(index).admits(bench.clock.now());
      return { admitted, permit: bench.permit(index) };
    });
    assert.equal(wanted.filter(({ admitted }) => admitted).length, SETTINGS.halfOpenTrials);
    assert.equal(bench.state, 'half_open');
    assert.deepEqual(bench.transitions, ['closed -> open', 'open -> half_open']);
    bench.deliver();
    assert.deepEqual(bench.transitions, ['closed -> open', 'open -> half_open']);
    // Those that had no place give none back.
    for (const { admitted, permit } of wanted) if (!admitted) permit.cancel();
    assert.equal(bench.thread(0).admits(bench.clock.now()), false);
    for (const { admitted, permit } of wanted) if (admitted) permit.success();
    bench.deliver();
    assert.equal(bench.state, 'closed');
  });

  it('has no place for another trial between the failure of one and the word of control', () => {
    const bench = new Bench(2, { halfOpenTrials: 1 });
    bench.halfOpen();
    bench.permit(0).failure();
    assert.equal(bench.thread(1).admits(bench.clock.now()), false);
    bench.deliver();
    assert.equal(bench.state, 'open');
    bench.clock.advance(SETTINGS.openMs);
    assert.equal(bench.thread(1).admits(bench.clock.now()), true);
  });

  it('becomes half-open for control too where the thread that made it so dies before it can tell', () => {
    const bench = new Bench(1);
    bench.halfOpen();
    bench.permit(0);
    bench.told.length = 0;
    bench.control.state(bench.clock.now());
    assert.equal(bench.transitions.at(-1), 'open -> half_open');
  });

  it('has the trials of a thread that died back, and only those', () => {
    const bench = new Bench(2);
    bench.halfOpen();
    const mine = bench.permit(0);
    bench.permit(1);
    assert.equal(bench.thread(0).admits(bench.clock.now()), false);
    bench.cells.reclaim(2);
    assert.equal(bench.thread(0).admits(bench.clock.now()), true);
    const trial = bench.permit(0);
    assert.equal(bench.thread(0).admits(bench.clock.now()), false);
    for (const permit of [mine, trial]) permit.success();
    bench.deliver();
    assert.equal(bench.state, 'closed');
  });

  it('counts nothing for a worker that came after that of the request', () => {
    const bench = new Bench(1, { failureThreshold: 1, halfOpenTrials: 1 });
    bench.halfOpen();
    const old = bench.permit(0);
    const transitions: string[] = [];
    const next = new ControlCircuit(bench.cells, SLOT, {
      ...{ settings: { ...SETTINGS, failureThreshold: 1, halfOpenTrials: 1 }, clock: bench.clock },
      onTransition: (from, to) => void transitions.push(`${from} -> ${to}`),
    });
    assert.deepEqual([next.isClosed, next.failedAt], [true, Number.NEGATIVE_INFINITY]);
    next.permit(bench.clock.now()).failure();
    bench.clock.advance(SETTINGS.openMs);
    next.permit(bench.clock.now());
    old.success();
    assert.equal(next.admits(bench.clock.now()), false);
    assert.deepEqual(transitions, ['closed -> open', 'open -> half_open']);
  });

  it('closes at once where it is switched off, and stays so', () => {
    const bench = new Bench(2);
    bench.halfOpen();
    const trial = bench.permit(0);
    const off = { ...SETTINGS, enabled: false };
    for (const circuit of [bench.control, ...bench.threads]) circuit.reconfigure(off);
    bench.deliver();
    trial.failure();
    for (let failure = 0; failure < 5; failure++) bench.permit(failure).failure();
    assert.equal(bench.told.length, 0);
    assert.equal(bench.state, 'closed');
    assert.equal(bench.control.failedAt, bench.clock.now());
  });
});

describe('trial places', () => {
  it('are those of the epoch: one of an earlier is free, one of a later is not to be had', () => {
    const cells = new BreakerCells(new SharedMemory(1));
    for (const epoch of [1, 2 ** 24 - 2, 2 ** 24 - 1, 2 ** 24, epochOf(wordOf('closed', 2 ** 29))]) {
      const place = cells.takeTrial(SLOT, epoch, 1);
      assert.ok(place >= 0, String(epoch));
      assert.equal(cells.takeTrial(SLOT, epoch, 1), -1);
      assert.equal(cells.takeTrial(SLOT, epoch - 1, 1), -1);
      assert.equal(cells.hasTrial(SLOT, epoch + 1, 1), true);
      const next = cells.takeTrial(SLOT, epoch + 1, 1);
      cells.giveTrial(place, epoch);
      assert.equal(cells.hasTrial(SLOT, epoch + 1, 1), false);
      cells.giveTrial(next, epoch + 1);
      assert.equal(cells.hasTrial(SLOT, epoch + 1, 1), true);
    }
  });

  it('are never more than there are, with threads that fight for one and die', async () => {
    const threads = 4;
    const epoch = 5;
    const memory = new SharedMemory(threads);
    const cells = new BreakerCells(memory);
    cells.publish(SLOT, wordOf('half_open', epoch), undefined);
    memory.region('test:counts', 12);
    const reports = await Promise.all(
      Array.from({ length: threads }, async (_, index) => {
        const workerData: TrialTask = {
          ...{ regions: memory.regions, rows: memory.rows, self: index + 1 },
          ...{ slot: SLOT, epoch, most: 1, rounds: 40_000, dies: index === 1 },
        };
        const thread = new Thread(new URL('../../test/threads/trial-taker.ts', import.meta.url), {
          workerData,
        });
        const exited = once(thread, 'exit');
        // What the fixture posts.
        const [report] = (await once(thread, 'message')) as [TrialReport];
        await exited;
        return report;
      }),
    );
    assert.equal(Math.max(...reports.map(({ mostAtOnce }) => mostAtOnce)), 1);
    for (const row of [1, 3, 4]) cells.reclaim(row);
    assert.equal(cells.hasTrial(SLOT, epoch, 1), false);
    cells.reclaim(2);
    assert.equal(cells.hasTrial(SLOT, epoch, 1), true);
  });
});
