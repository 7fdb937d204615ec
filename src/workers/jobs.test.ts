import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../base/virtual-clock.ts';
import { isOpen, JobQueue, type Job, type JobKind, type JobLimits, type StepResult } from './jobs.ts';

fc.configureGlobal({ seed: 7 });

const LIMITS: JobLimits = { running: { add: 2, remove: Infinity }, open: 10, ended: 3 };

/** A queue whose steps end when the test says so. */
class Bench {
  readonly clock = new VirtualClock();
  readonly ended: string[] = [];
  readonly signals = new Map<string, AbortSignal>();
  readonly queue: JobQueue<string>;
  readonly #steps = new Map<string, (result: StepResult) => void>();

  constructor(limits: Partial<JobLimits> = {}) {
    this.queue = new JobQueue({
      clock: this.clock,
      limits: { ...LIMITS, ...limits },
      onEnd: (job) => this.ended.push(`${job.target} ${job.state.name}`),
    });
  }

  submit(target: string, kind: JobKind = 'add') {
    return this.queue.submit({
      kind,
      target,
      about: `about ${target}`,
      step: (signal) => {
        this.signals.set(target, signal);
        return new Promise((resolve) => this.#steps.set(target, resolve));
      },
    });
  }

  accepted(target: string, kind: JobKind = 'add'): Job<string> {
    const submitted = this.submit(target, kind);
    assert.equal(submitted.kind, 'accepted');
    return (submitted as { job: Job<string> }).job;
  }

  /** Ends the step under way. */
  async finish(target: string, result: StepResult): Promise<void> {
    const step = this.#steps.get(target);
    assert.ok(step, `no step of ${target} is under way`);
    this.#steps.delete(target);
    step(result);
    await settled();
  }

  get states(): string[] {
    return this.queue.list().map((job) => `${job.target} ${job.state.name}`);
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const DONE: StepResult = { kind: 'done' };

describe('JobQueue', () => {
  it('runs as many at once as it may, the others in order', async () => {
    const bench = new Bench();
    for (const name of ['a', 'b', 'c', 'd']) bench.accepted(name);
    assert.deepEqual(bench.states, ['a running', 'b running', 'c queued', 'd queued']);
    await bench.finish('b', DONE);
    assert.deepEqual(bench.states, ['a running', 'b done', 'c running', 'd queued']);
    assert.equal(bench.queue.open, 3);
  });

  it('lets removals pass registrations', () => {
    const bench = new Bench();
    for (const name of ['a', 'b', 'c']) bench.accepted(name);
    assert.equal(bench.accepted('x', 'remove').state.name, 'running');
  });

  it('tries again after a pause, without holding a place meanwhile, and says why', async () => {
    const bench = new Bench();
    const job = bench.accepted('a');
    for (const name of ['b', 'c']) bench.accepted(name);
    await bench.finish('a', { kind: 'again', afterMs: 200, reason: 'connection refused' });
    assert.deepEqual(job.state, { name: 'queued', reason: 'connection refused' });
    assert.deepEqual(bench.states, ['a queued', 'b running', 'c running']);
    bench.clock.advance(200);
    assert.deepEqual(job.state, { name: 'queued', reason: 'connection refused' });
    await bench.finish('b', DONE);
    assert.deepEqual(job.state, { name: 'running', reason: 'connection refused' });
    assert.equal(job.tries, 2);
    await bench.finish('a', DONE);
    assert.equal(job.state.name, 'done');
  });

  it('keeps the reason of a failure, and takes a step that throws for one', async () => {
    const bench = new Bench();
    const job = bench.accepted('a');
    await bench.finish('a', { kind: 'failed', reason: 'wrong model' });
    assert.deepEqual(job.state, { name: 'failed', endedAt: bench.clock.wall(), reason: 'wrong model' });
    bench.queue.submit({
      kind: 'add',
      target: 'b',
      about: '',
      step: () => Promise.reject(new Error('boom')),
    });
    await settled();
    assert.deepEqual(bench.ended, ['a failed', 'b failed']);
  });

  it('has one job per target at a time, and replaces an ended one', async () => {
    const bench = new Bench();
    const first = bench.accepted('a');
    assert.deepEqual(bench.submit('a', 'remove'), { kind: 'busy', job: first });
    await bench.finish('a', DONE);
    const second = bench.accepted('a', 'remove');
    assert.notEqual(second.id, first.id);
    assert.equal(bench.queue.of('a'), second);
    assert.equal(bench.queue.list().length, 1);
  });

  it('is bounded: open jobs are refused, ended ones forgotten, the oldest first', async () => {
    const bench = new Bench({ open: 2 });
    bench.accepted('a');
    bench.accepted('b');
    assert.deepEqual(bench.submit('c'), { kind: 'full' });
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      if (!bench.queue.of(name)) bench.accepted(name);
      await bench.finish(name, DONE);
    }
    assert.deepEqual(bench.states, ['c done', 'd done', 'e done']);
  });

  it('gives a job up at any moment, and then its step counts no more', async () => {
    const bench = new Bench();
    const [running, waiting, retrying] = ['a', 'b', 'c'].map((name) => bench.accepted(name)) as [
      Job<string>,
      Job<string>,
      Job<string>,
    ];
    await bench.finish('b', { kind: 'again', afterMs: 100, reason: 'later' });
    bench.queue.cancel(running, 'withdrawn');
    bench.queue.cancel(waiting, 'withdrawn');
    assert.equal(bench.signals.get('a')?.aborted, true);
    assert.deepEqual(bench.states, ['a failed', 'b failed', 'c running']);
    bench.clock.advance(1000);
    await bench.finish('a', DONE);
    bench.queue.cancel(running, 'again');
    assert.deepEqual(bench.ended, ['a failed', 'b failed']);
    assert.equal(isOpen(retrying), true);
    assert.equal(bench.clock.pending, 0);
    assert.equal(bench.queue.open, 1);
  });

  it('tells who waits, also when it is closed, and takes nothing afterwards', async () => {
    const bench = new Bench();
    const [a, b] = [bench.accepted('a'), bench.accepted('b')];
    const waits = [bench.queue.ended(a), bench.queue.ended(b)];
    await bench.finish('a', DONE);
    bench.queue.close('stopping');
    assert.deepEqual(
      (await Promise.all(waits)).map((job) => job.state.name),
      ['done', 'failed'],
    );
    assert.equal((await bench.queue.ended(a)).state.name, 'done');
    assert.deepEqual(bench.submit('c'), { kind: 'full' });
  });

  it('ends every job exactly once and keeps its bounds, whatever happens in which order', async () => {
    const action = fc.record({ what: fc.nat(4), target: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f') });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const bench = new Bench({ open: 4, ended: 2 });
        let accepted = 0;
        for (const { what, target } of actions) {
          const job = bench.queue.of(target);
          const runs = job?.state.name === 'running';
          if (what === 0 && bench.submit(target).kind === 'accepted') accepted += 1;
          else if (what === 1 && runs) await bench.finish(target, DONE);
          else if (what === 2 && runs) await bench.finish(target, { kind: 'again', afterMs: 5, reason: '' });
          else if (what === 3 && job) bench.queue.cancel(job, 'no');
          else if (what === 4) bench.clock.advance(5);
          const running = bench.queue.list().filter(({ state }) => state.name === 'running').length;
          assert.ok(running <= 2 && bench.queue.open <= 4 && bench.queue.list().length <= 6);
        }
        bench.queue.close('over');
        await settled();
        assert.equal(bench.ended.length, accepted);
        assert.equal(bench.queue.open, 0);
      }),
      { numRuns: 150 },
    );
  });
});
