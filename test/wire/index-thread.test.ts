/** The thread that follows engines' events, in the hand of control, with simulated workers that publish. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import type { EventWorker } from '../../src/cache-knowledge/events/event-worker.ts';
import { LEAST_BYTES } from '../../src/cache-knowledge/exact/exact-memory.ts';
import { NOT_KNOWN } from '../../src/cache-knowledge/exact/exact-reader.ts';
import { EventIndex } from '../../src/cache-knowledge/index-thread/event-index.ts';
import { EventIndexView } from '../../src/cache-knowledge/index-thread/event-index-view.ts';
import { startHelper, type HelperThread } from '../../src/helper-threads/helper-thread.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { tokenChain } from '../../src/routing/token-chain.ts';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import { eventually } from '../support/fleet.ts';
import { LinkedThreads } from '../support/linked-threads.ts';
import { recordingLog } from '../support/recording-log.ts';

const BLOCK = 16;

interface Bench {
  readonly index: EventIndex;
  readonly helpers: HelperThread[];
  readonly threads: LinkedThreads;
  /** These are the workers from now on; slots are their places here. */
  readonly follow: (...workers: readonly (EventWorker | undefined)[]) => void;
  /** Leading blocks of the prompt that each slot holds. */
  readonly held: (prompt: readonly number[], slots?: number) => number[];
  maxBytes: number;
}

function bench(t: TestContext): Bench {
  const threads = new LinkedThreads(1);
  const helpers: HelperThread[] = [];
  let workers: readonly EventWorker[] = [];
  const made: Bench = {
    ...{ helpers, threads, maxBytes: LEAST_BYTES },
    index: new EventIndex({
      ...{ clock: systemClock, random: seededRandom(3), channels: threads.control.channels },
      maxBytes: () => made.maxBytes,
      following: () => ({ workers, bind: undefined }),
      startHelper: (helper) => {
        const started = startHelper({
          ...{ ...helper, clock: systemClock, log: recordingLog([]), metrics: createMetrics() },
        });
        helpers.push(started);
        return started;
      },
    }),
    follow: (...next) => {
      for (const [slot, worker] of next.entries()) {
        const before = workers.find((one) => one.slot === slot);
        if (before && before.generation !== worker?.generation) made.index.left(before);
        if (worker && before?.generation !== worker.generation) made.index.joined(worker);
      }
      workers = next.filter((worker) => worker !== undefined);
      made.index.changed();
    },
    held: (prompt, slots = 1) => {
      const all = made.index.caches?.matchAll(chainOf(prompt), slots);
      return Array.from({ length: slots }, (_, slot) => all?.[slot] ?? NaN);
    },
  };
  t.after(() => made.index.close());
  return made;
}

const chainOf = (prompt: readonly number[]) =>
  tokenChain(Uint32Array.from(prompt), { blockSize: BLOCK, adapter: '', salt: '' });

async function sim(t: TestContext, options: SimOptions = {}): Promise<SimWorker> {
  const worker = await startSimWorker({ timeScale: 0, kvEvents: true, ...options });
  t.after(() => worker.stop());
  return worker;
}

function eventWorker(worker: SimWorker, slot: number, generation = 1): EventWorker {
  return {
    ...{ slot, generation, address: new URL(worker.url).host, models: [] },
    sources: worker.kvEvents.map(({ port, replayPort }, rank) => ({
      ...{ rank, topic: '', endpoint: `tcp://127.0.0.1:${port}` },
      replayEndpoint: replayPort === undefined ? undefined : `tcp://127.0.0.1:${replayPort}`,
    })),
  };
}

async function complete(worker: SimWorker, prompt: readonly number[], rank = 0): Promise<void> {
  const response = await fetch(`${worker.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-data-parallel-rank': String(rank) },
    body: JSON.stringify({ prompt, max_tokens: 1 }),
  });
  assert.equal(response.status, 200, await response.text());
}

const ids = (topic: number, blocks: number): number[] =>
  Array.from({ length: BLOCK * blocks + 3 }, (_, at) => 1000 * topic + at + 10);

describe('the index thread', () => {
  it('knows what engines hold, what they held before it began, and shows it to request threads', async (t) => {
    const { index, threads, follow, held } = bench(t);
    const [one, other] = [await sim(t), await sim(t)];
    await complete(one, ids(1, 5));
    follow(eventWorker(one, 0), eventWorker(other, 1));
    await eventually(() => held(ids(1, 5), 2).join() === '5,0');
    const view = new EventIndexView(threads.begin(1).channel);
    while (threads.deliver());
    await complete(other, ids(1, 3));
    await complete(one, ids(1, 7));
    await eventually(() => held(ids(1, 7), 2).join() === '7,3');
    assert.equal(view.caches?.match(chainOf(ids(1, 7)), 0), 7);
    assert.deepEqual([index.caches?.blockSize(0), index.caches?.isLive(1)], [BLOCK, true]);
    await eventually(() => index.report?.index.stored === 10);
    assert.equal(index.reportOf({ slot: 0, generation: 1 })?.state, 'live');
    assert.equal(index.reportOf({ slot: 0, generation: 2 }), undefined);
  });

  it('takes both ranks of a worker for one that holds what they hold on average', async (t) => {
    const { follow, held, index } = bench(t);
    const worker = await sim(t, { dataParallelSize: 2 });
    follow(eventWorker(worker, 0));
    await eventually(() => index.caches?.isLive(0) === true);
    await complete(worker, ids(2, 6), 1);
    await eventually(() => held(ids(2, 6)).join() === '3');
    await complete(worker, ids(2, 4), 0);
    await eventually(() => held(ids(2, 6)).join() === '5');
  });

  it('leaves nothing of a worker behind for the next one in its slot', async (t) => {
    const { follow, held } = bench(t);
    const [one, other] = [await sim(t), await sim(t)];
    await complete(one, ids(1, 5));
    follow(eventWorker(one, 0));
    await eventually(() => held(ids(1, 5)).join() === '5');
    follow(eventWorker(other, 0, 2));
    assert.deepEqual(held(ids(1, 5)), [NOT_KNOWN]);
    await eventually(() => held(ids(1, 5)).join() === '0');
    follow(eventWorker(one, 0, 3));
    await eventually(() => held(ids(1, 5)).join() === '5');
  });

  it('that ends is replaced: nothing is known meanwhile, and all that engines hold afterwards', async (t) => {
    const { follow, held, helpers, index, threads } = bench(t);
    const worker = await sim(t);
    await complete(worker, ids(1, 5));
    follow(eventWorker(worker, 0));
    await eventually(() => held(ids(1, 5)).join() === '5');
    const view = new EventIndexView(threads.begin(1).channel);
    while (threads.deliver());
    const before = view.caches;
    helpers[0]?.replace('hung');
    await eventually(() => index.caches === undefined);
    assert.equal(before?.match(chainOf(ids(1, 5)), 0), NOT_KNOWN);
    assert.equal(index.reportOf({ slot: 0, generation: 1 }), undefined);
    await eventually(() => held(ids(1, 5)).join() === '5');
    while (threads.deliver());
    assert.equal(view.caches?.match(chainOf(ids(1, 5)), 0), 5);
    assert.equal(helpers.length, 1);
  });

  it('is there while there is somebody to follow, and begins anew with memory of another size', async (t) => {
    const made = bench(t);
    const { follow, held, helpers, index } = made;
    const worker = await sim(t);
    follow({ ...eventWorker(worker, 0), sources: [] });
    await complete(worker, ids(1, 5));
    follow(eventWorker(worker, 0));
    await eventually(() => held(ids(1, 5)).join() === '5');
    made.maxBytes = 2 * LEAST_BYTES;
    index.changed();
    await eventually(() => helpers.length === 2 && held(ids(1, 5)).join() === '5');
    follow(undefined);
    await eventually(() => index.caches === undefined);
  });

  it('hears of lost messages, of an engine that begins anew and of one that clears its cache', async (t) => {
    const { follow, held, index } = bench(t);
    const worker = await sim(t);
    follow(eventWorker(worker, 0));
    await eventually(() => index.caches?.isLive(0) === true);
    await complete(worker, ids(1, 5));
    await eventually(() => held(ids(1, 5)).join() === '5');
    await fetch(`${worker.url}/reset_prefix_cache`, { method: 'POST' });
    // vLLM tells of it with the next request.
    await complete(worker, ids(2, 2));
    await eventually(() => held(ids(1, 5)).join() === '0' && held(ids(2, 2)).join() === '2');
  });
});
