import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../base/port-channel.ts';
import { SharedMemory, type Regions } from '../base/thread-memory.ts';
import { configFromOptions } from '../config/load/load.ts';
import { settingsFromPosted, type PortableConfig } from '../config/load/material.ts';
import { NO_PLUGINS } from '../config/schema/plugin-policy-schema.ts';
import type { Settings } from '../config/settings/settings.ts';
import { followReloads, PROPOSED, ReloadsOfThreads } from './reload-protocol.ts';

/** A configuration that can be told from others by the size of its queue. */
function configured(queueSize: number): PortableConfig {
  const resolved = configFromOptions({ workerUrls: ['http://127.0.0.1:1'], queueSize });
  assert.ok(resolved.kind === 'ok');
  return { config: resolved.config, material: resolved.material };
}

interface Thread {
  /** Sizes of queues, as they were put in force. */
  readonly inForce: number[];
  readonly compiled: number[];
  /** What it says of the next proposals. */
  problem: string | undefined;
  readonly regions: Regions[];
}

interface Bench {
  readonly channels: PortChannels;
  readonly reloads: ReloadsOfThreads;
  readonly silent: number[];
  readonly regions: Regions;
  /** A thread begins in that row, with that generation; `false` = it says nothing. */
  readonly begin: (row: number, options?: { generation?: number; answers?: boolean }) => Thread;
  /** Threads that have only begun. */
  readonly beginning: Set<number>;
  readonly end: (row: number) => void;
  /** Resolves when all threads have heard everything. */
  readonly heard: () => Promise<void>;
}

function bench(t: TestContext, patienceMs?: number): Bench {
  const channels = new PortChannels();
  const silent: number[] = [];
  const beginning = new Set<number>();
  const reloads = new ReloadsOfThreads(channels, {
    serves: (row) => !beginning.has(row),
    onSilent: (row) => silent.push(row),
    ...(patienceMs !== undefined && { patienceMs }),
  });
  const memory = new SharedMemory(1);
  memory.region('test:region', 8);
  return {
    ...{ channels, reloads, silent, beginning, regions: memory.regions },
    begin: (row, { generation = reloads.generation, answers = true } = {}) => {
      const { port1, port2 } = new MessageChannel();
      t.after(() => {
        port1.close();
      });
      channels.add(row, port1);
      const thread: Thread = { inForce: [], compiled: [], problem: undefined, regions: [] };
      const channel = new PortChannel(port2);
      if (answers) follow(channel, thread, generation);
      else channel.answer(PROPOSED, () => new Promise(() => undefined));
      channel.answer({ name: 'test:heard' }, () => true);
      return thread;
    },
    end: (row) => {
      channels.end(row);
    },
    heard: async () => {
      await channels.askAll({ name: 'test:heard' }, undefined, 10_000);
    },
  };
}

function follow(channel: PortChannel, thread: Thread, generation: number): void {
  followReloads(channel, {
    generation,
    compile: (config) => {
      const settings = settingsFromPosted(config, NO_PLUGINS);
      thread.compiled.push(settings.admission.queueSize);
      if (thread.problem !== undefined) throw new Error(thread.problem);
      return settings;
    },
    commit: (settings: Settings, regions) => {
      thread.inForce.push(settings.admission.queueSize);
      thread.regions.push(regions);
    },
  });
}

describe('configurations of several threads', () => {
  it('are compiled by all before they are in force in any', async (t) => {
    const { reloads, begin, regions, heard } = bench(t);
    const threads = [begin(1), begin(2), begin(3)];
    let asked = 0;
    const commit = await reloads.prepare(configured(17), () => {
      asked += 1;
      return regions;
    });
    assert.deepEqual(
      threads.map(({ compiled, inForce }) => [compiled, inForce]),
      Array.from(threads, () => [[17], []]),
    );
    assert.deepEqual([asked, reloads.generation], [0, 1]);
    commit();
    assert.deepEqual([asked, reloads.generation], [1, 2]);
    await heard();
    for (const { compiled, inForce, regions: given } of threads) {
      assert.deepEqual([compiled, inForce], [[17], [17]]);
      assert.deepEqual(given, [regions]);
    }
  });

  it('follow one another, each once', async (t) => {
    const { reloads, begin, regions, heard } = bench(t);
    const threads = [begin(1), begin(2)];
    for (const size of [11, 12, 13]) {
      const commit = await reloads.prepare(configured(size), () => regions);
      commit();
      commit();
    }
    await heard();
    for (const { inForce } of threads) assert.deepEqual(inForce, [11, 12, 13]);
    assert.equal(reloads.generation, 4);
  });

  it('change nothing where one thread cannot use them', async (t) => {
    const { reloads, begin, regions, heard } = bench(t);
    const [first, second] = [begin(1), begin(2)];
    second.problem = 'the plugin says no';
    await assert.rejects(
      reloads.prepare(configured(11), () => regions),
      /a request thread cannot use it: the plugin says no/,
    );
    assert.equal(reloads.generation, 1);
    second.problem = undefined;
    const commit = await reloads.prepare(configured(12), () => regions);
    commit();
    await heard();
    assert.deepEqual([first.inForce, second.inForce], [[12], [12]]);
  });

  it('do not wait for a thread that does not answer: it is to be replaced', async (t) => {
    const { reloads, begin, end, regions, silent, heard } = bench(t, 50);
    const first = begin(1);
    begin(2, { answers: false });
    const commit = await reloads.prepare(configured(11), () => regions);
    assert.deepEqual(silent, [2]);
    end(2);
    commit();
    // The next one begins with what is in force.
    const next = begin(2);
    await heard();
    assert.deepEqual([first.inForce, next.inForce], [[11], []]);
    const again = await reloads.prepare(configured(12), () => regions);
    again();
    await heard();
    assert.deepEqual([first.inForce, next.inForce], [[11, 12], [12]]);
  });

  it('do not wait for a thread that only begins: it is told what is in force', async (t) => {
    const { reloads, begin, beginning, regions, silent, heard } = bench(t, 50);
    const [first, second] = [begin(1), begin(2)];
    beginning.add(2);
    const commit = await reloads.prepare(configured(11), () => regions);
    assert.deepEqual([first.compiled, second.compiled, silent], [[11], [], []]);
    commit();
    await heard();
    assert.deepEqual([first.inForce, second.inForce], [[11], [11]]);
  });

  it('do not wait for a thread that ends', async (t) => {
    const { reloads, begin, end, regions, silent, heard } = bench(t);
    const first = begin(1);
    begin(2, { answers: false });
    const prepared = reloads.prepare(configured(11), () => regions);
    end(2);
    const commit = await prepared;
    commit();
    await heard();
    assert.deepEqual([silent, first.inForce], [[], [11]]);
  });

  it('reach a thread that began after they were proposed', async (t) => {
    const { reloads, begin, end, regions, heard } = bench(t);
    begin(1);
    const commit = await reloads.prepare(configured(11), () => regions);
    // One more, and another one in the place of one that has compiled it.
    const late = begin(2);
    end(1);
    const instead = begin(1);
    commit();
    await heard();
    for (const { compiled, inForce } of [late, instead]) assert.deepEqual([compiled, inForce], [[11], [11]]);
  });

  it('do not come twice to a thread that has begun with them', async (t) => {
    const { reloads, begin, regions, heard } = bench(t);
    const commit = await reloads.prepare(configured(11), () => regions);
    const thread = begin(1, { generation: 2 });
    commit();
    await heard();
    assert.deepEqual(thread.inForce, []);
  });

  it('reach real threads, and one that ends at it leaves the others in step', async (t) => {
    const { channels, reloads, regions } = bench(t);
    const workers = [1, 2].map((row) => {
      const { port1, port2 } = new MessageChannel();
      const worker = new Worker(new URL('../../test/threads/reloading-thread.ts', import.meta.url), {
        workerData: { port: port2, generation: reloads.generation },
        transferList: [port2],
      });
      channels.add(row, port1);
      worker.once('exit', () => {
        channels.end(row);
        port1.close();
      });
      return worker;
    });
    const inForce = async (row: number): Promise<unknown> =>
      channels.to(row)?.ask({ name: 'test:in-force' }, undefined);
    const commit = await reloads.prepare(configured(11), () => regions);
    commit();
    assert.deepEqual([await inForce(1), await inForce(2)], [[11], [11]]);
    const prepared = reloads.prepare(configured(12), () => regions);
    await workers[1]?.terminate();
    (await prepared)();
    assert.deepEqual([await inForce(1), channels.to(2)], [[11, 12], undefined]);
    await workers[0]?.terminate();
  });
});
