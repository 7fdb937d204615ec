import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { prompt } from '../../test/support/pool.ts';
import { ThreadEnds } from '../../test/support/thread-ends.ts';
import { mayBeRecorded, PROMPT_PLAN, SLOTS } from '../../test/threads/index-plan.ts';
import type { Seen } from '../../test/threads/index-reader.ts';
import { PortChannels } from '../base/port-channel.ts';
import { randomInt, seededRandom } from '../base/random.ts';
import { systemClock } from '../base/system-clock.ts';
import { SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { IndexBounds } from './predicted-index.ts';
import { PredictedIndexView } from './predicted-index-view.ts';
import { ThreadsIndex } from './threads-index.ts';

const BOUNDS: IndexBounds = { maxBytes: 2 ** 20, maxBlocksPerWorker: 10_000 };

/** Control and two request threads in this one. */
class Bench {
  readonly clock = new VirtualClock();
  readonly ends: ThreadEnds;
  readonly index: ThreadsIndex;
  readonly views: readonly PredictedIndexView[];
  readonly generations = new Map([
    [0, 1],
    [1, 1],
    [2, 1],
  ]);

  constructor(t: TestContext, { bounds = BOUNDS, ringWords = 1024 } = {}) {
    this.ends = new ThreadEnds(t, 2);
    this.index = new ThreadsIndex({
      ...{ ...this.ends.control, clock: this.clock, ringWords },
      bounds: () => bounds,
      isPresent: (slot, generation) => this.generations.get(slot) === generation,
    });
    this.views = [1, 2].map((row) => new PredictedIndexView(this.ends.begin(row).channel, this.clock));
  }

  async opened(): Promise<[PredictedIndexView, PredictedIndexView]> {
    for (const view of this.views) view.open();
    await this.ends.settled();
    return [this.views[0]!, this.views[1]!];
  }

  /** What has been recorded is in the index, and control asleep. */
  async drained(): Promise<void> {
    for (let look = 0; look < 4; look++) {
      await this.ends.settled();
      this.clock.advance(5);
    }
  }
}

describe('the index of several threads', () => {
  it('shows to each what another has recorded', async (t) => {
    const bench = new Bench(t);
    const [one, other] = await bench.opened();
    one.record(prompt(160), 2, 1);
    await bench.drained();
    for (const view of [one, other]) {
      assert.equal(view.match(prompt(320), 2).tokens, 160);
      assert.equal(view.match(prompt(320), 1).tokens, 0);
      const { rows, tokens } = view.matchAll(prompt(320), 3);
      assert.deepEqual(
        [0, 1, 2].map((slot) => tokens[rows[slot]!]),
        [0, 0, 160],
      );
    }
    assert.equal(bench.index.current?.entriesOf(2), 10);
    other.record(prompt(320), 1, 1);
    await bench.drained();
    assert.equal(one.match(prompt(320), 1).tokens, 320);
  });

  it('shows what was sent just now, and no longer than that', async (t) => {
    const bench = new Bench(t);
    const [one, other] = await bench.opened();
    one.record(prompt(320), 2, 1);
    await bench.drained();
    bench.clock.advance(5000);
    one.record(prompt(160), 2, 1);
    await bench.drained();
    for (const view of [one, other])
      assert.deepEqual([view.recent(prompt(320), 2, 2000), view.recent(prompt(320), 1, 2000)], [160, 0]);
    bench.clock.advance(2500);
    assert.deepEqual([other.recent(prompt(320), 2, 2000), other.match(prompt(320), 2).tokens], [0, 320]);
  });

  it('has what was routed between the wish of a policy and the tables that it is shown, up to a bound', async (t) => {
    const bench = new Bench(t, { ringWords: 2 ** 14 });
    const [view] = bench.views;
    // Nobody has wanted it.
    view?.record(prompt(160, 1000), 1, 1);
    view?.open();
    for (let id = 0; id < 100; id++) view?.record(prompt(160, id), 1, 1);
    await bench.drained();
    const held = Array.from({ length: 100 }, (_, id) => view?.match(prompt(160, id), 1).tokens);
    assert.deepEqual(held, [...Array<number>(64).fill(160), ...Array<number>(36).fill(0)]);
    assert.equal(view?.match(prompt(160, 1000), 1).tokens, 0);
  });

  it('gives nothing to a worker that has left, nor to the next one in its slot', async (t) => {
    const bench = new Bench(t);
    const [one] = await bench.opened();
    bench.generations.set(1, 2);
    bench.generations.delete(2);
    one.record(prompt(160), 1, 1);
    one.record(prompt(160), 2, 1);
    one.record(prompt(320), 0, 1);
    await bench.drained();
    assert.deepEqual(
      [0, 1, 2].map((slot) => one.match(prompt(320), slot).tokens),
      [320, 0, 0],
    );
  });

  it('counts what finds the ring full, and goes on when there is room', async (t) => {
    const bench = new Bench(t, { ringWords: 64 });
    const [one] = await bench.opened();
    for (let id = 0; id < 4; id++) one.record(prompt(16 * 10, id), 0, 1);
    assert.equal(bench.index.dropped, 2);
    await bench.drained();
    assert.deepEqual(
      [0, 1, 2, 3].map((id) => one.match(prompt(160, id), 0).tokens),
      [160, 160, 0, 0],
    );
    one.record(prompt(160, 3), 0, 1);
    one.record(prompt(16 * 100, 9), 0, 1);
    await bench.drained();
    assert.equal(one.match(prompt(160, 3), 0).tokens, 160);
    assert.equal(bench.index.dropped, 3);
  });

  it('is there while a policy of any thread needs it', async (t) => {
    const bench = new Bench(t);
    assert.equal(bench.index.current, undefined);
    const [one, other] = await bench.opened();
    one.record(prompt(160), 0, 1);
    await bench.drained();
    one.close();
    await bench.ends.settled();
    assert.equal(other.match(prompt(160), 0).tokens, 160);
    bench.ends.channels.end(2);
    assert.equal(bench.index.current, undefined);
    await bench.ends.settled();
    assert.equal(one.match(prompt(160), 0).tokens, 0);
    const own = bench.index.open();
    assert.equal(bench.index.current, own);
    own.close();
    assert.equal(bench.index.current, undefined);
  });

  it('is shown in the new tables while it is moved to another size, and afterwards', async (t) => {
    const bench = new Bench(t);
    const [one] = await bench.opened();
    const index = bench.index.current!;
    one.record(prompt(160), 0, 1);
    await bench.drained();
    index.reconfigure({ ...BOUNDS, maxBytes: 2 ** 21 });
    assert.equal(one.match(prompt(160), 0).tokens, 160, 'the message has not come yet');
    await bench.ends.settled();
    one.record(prompt(320, 5), 1, 1);
    await bench.drained();
    const seen = (): number[] => [one.match(prompt(160), 0).tokens, one.match(prompt(320, 5), 1).tokens];
    const { rows, tokens } = one.matchAll(prompt(160), 2);
    assert.deepEqual([seen(), tokens[rows[0]!], tokens[rows[1]!]], [[160, 320], 160, 0]);
    assert.equal(index.sweep(), false);
    await bench.ends.settled();
    assert.deepEqual(seen(), [160, 320]);
    index.forget(0);
    assert.deepEqual(seen(), [0, 320]);
  });

  it('is shown to a thread that takes the place of another, which goes on behind what that one has written', async (t) => {
    const bench = new Bench(t);
    const [one] = await bench.opened();
    one.record(prompt(160), 0, 1);
    // It ends before the message that it has written something arrives.
    bench.ends.channels.end(1);
    const next = new PredictedIndexView(bench.ends.begin(1).channel, bench.clock).open();
    await bench.drained();
    assert.equal(next.match(prompt(160), 0).tokens, 160);
    next.record(prompt(160, 7), 1, 1);
    await bench.drained();
    assert.equal(next.match(prompt(160, 7), 1).tokens, 160);
  });
});

it('threads that look at it and record never find what nobody wrote, whatever control does meanwhile', async (t) => {
  const channels = new PortChannels();
  const memory = new SharedMemory(2);
  const bounds: IndexBounds = { maxBytes: 2 ** 17, maxBlocksPerWorker: 400, idleMs: 200 };
  const isPresent = (): boolean => true;
  const shared = new ThreadsIndex({
    memory,
    channels,
    clock: systemClock,
    bounds: () => bounds,
    isPresent,
  });
  const index = shared.open();
  const begin = (row: number): Worker => {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(new URL('../../test/threads/index-reader.ts', import.meta.url), {
      workerData: { seed: row, port: port2 },
      transferList: [port2],
    });
    t.after(() => worker.terminate());
    channels.add(row, port1);
    return worker;
  };
  const workers = [begin(1), begin(2)];
  await Promise.all(workers.map((worker) => once(worker, 'online')));

  const random = seededRandom(11);
  const until = performance.now() + 4000;
  let replaced = false;
  const turn = (): Promise<void> => {
    for (let write = 0; write < 100; write++) churn(index, random, bounds);
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  };
  while (performance.now() < until) {
    // Whatever a thread that dies has half written is nobody's.
    if (!replaced && performance.now() > until - 2500) {
      replaced = true;
      await workers[1]?.terminate();
      channels.end(2);
      workers[1] = begin(2);
    }
    await turn();
  }
  for (const worker of workers) assert.deepEqual((await enough(worker, turn)).wrong, []);
});

/** What the thread has seen when it has looked often enough, however late it began: the index goes on changing until then. */
async function enough(worker: Worker, turn: () => Promise<void>): Promise<Seen> {
  for (;;) {
    worker.postMessage('tell');
    // What index-reader.ts answers.
    const [seen] = (await once(worker, 'message')) as [Seen];
    if (seen.wrong.length > 0 || (seen.looks > 100 && seen.found > 1000)) return seen;
    await turn();
  }
}

function churn(index: NonNullable<ThreadsIndex['current']>, random: () => number, bounds: IndexBounds): void {
  const kind = randomInt(random, 1000);
  if (kind < 20) index.forget(randomInt(random, SLOTS));
  else if (kind < 30) index.sweep();
  else if (kind === 30) index.reconfigure({ ...bounds, maxBytes: bounds.maxBytes << randomInt(random, 2) });
  else {
    const planned = PROMPT_PLAN[randomInt(random, PROMPT_PLAN.length)]!;
    const slot = randomInt(random, SLOTS);
    if (mayBeRecorded(planned, slot)) index.record(planned.blocks, slot, 1);
  }
}
