import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../base/port-channel.ts';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { NO_PLUGINS } from '../config/schema/plugin-policy-schema.ts';
import type { PolicySettings, StagePolicy } from '../config/settings/settings.ts';
import { silentLog } from '../observe/log.ts';
import { livePolicy } from '../config/schema/live-policy-schema.ts';
import { followSwitches, PolicySwitches } from './policy-switches.ts';

interface Thread {
  readonly done: (readonly [model: string | undefined, policy: StagePolicy['type'] | null])[];
  readonly memory: JoinedMemory;
}

interface Bench {
  readonly memory: SharedMemory;
  readonly switches: PolicySwitches;
  readonly begin: (row: number, fails?: PolicySettings['type']) => Thread;
  /** Resolves when all threads have heard everything. */
  readonly heard: () => Promise<void>;
}

function bench(t: TestContext): Bench {
  const channels = new PortChannels();
  const memory = new SharedMemory(3);
  return {
    memory,
    switches: new PolicySwitches(memory, channels),
    begin: (row, fails) => {
      const { port1, port2 } = new MessageChannel();
      t.after(() => {
        port1.close();
      });
      channels.add(row, port1);
      const channel = new PortChannel(port2);
      const thread: Thread = { done: [], memory: new JoinedMemory(new Map(), { rows: 4, self: row }) };
      followSwitches({
        ...{ channel, memory: thread.memory, plugins: NO_PLUGINS, log: silentLog },
        settings: () => ({ loadCheckIntervalMs: 1_000, cacheKnowledge: 'auto' }),
        policies: {
          switchTo: (settings, model) => {
            if (settings.type === fails) throw new Error('it does not begin here');
            return thread.done.push([model, settings.type]) > 0;
          },
          switchBack: (model) => thread.done.push([model, null]) > 0,
          switchStage: (stage, settings) => thread.done.push([stage, settings?.type ?? null]) > 0,
        },
      });
      channel.answer({ name: 'test:heard' }, () => true);
      return thread;
    },
    // Twice: a thread that begins has asked by the first answer, and been told by the second.
    heard: async () => {
      for (let round = 0; round < 2; round += 1)
        await channels.askAll({ name: 'test:heard' }, undefined, 10_000);
    },
  };
}

const RANDOM = livePolicy.parse('random');
const ROUND_ROBIN = livePolicy.parse('round_robin');

it('a policy that is switched is switched in every thread, also in one that begins later', async (t) => {
  const { switches, begin, heard } = bench(t);
  const first = begin(1);
  await heard();
  assert.deepEqual(first.done, []);
  switches.add({ model: undefined, policy: ROUND_ROBIN });
  switches.add({ model: 'a', policy: RANDOM });
  switches.add({ model: 'b', policy: RANDOM });
  switches.add({ model: 'b', policy: null });
  switches.add({ model: undefined, policy: RANDOM });
  const second = begin(2);
  await heard();
  assert.deepEqual(first.done, [
    [undefined, 'round_robin'],
    ['a', 'random'],
    ['b', 'random'],
    ['b', null],
    [undefined, 'random'],
  ]);
  // What is in force, in whatever order.
  assert.deepEqual(
    [...second.done].sort(([left = ''], [right = '']) => left.localeCompare(right)),
    [
      [undefined, 'random'],
      ['a', 'random'],
    ],
  );
});

it('the policy of one half is switched in every thread, and back', async (t) => {
  const { switches, begin, heard } = bench(t);
  const first = begin(1);
  await heard();
  switches.add({ stage: 'prefill', policy: RANDOM });
  switches.add({ stage: 'decode', policy: { type: 'pair_cost' } });
  switches.add({ stage: 'prefill', policy: null });
  const second = begin(2);
  await heard();
  assert.deepEqual(first.done, [
    ['prefill', 'random'],
    ['decode', 'pair_cost'],
    ['prefill', null],
  ]);
  assert.deepEqual(second.done, [['decode', 'pair_cost']]);
});

it('after a configuration has come into force nothing is switched', async (t) => {
  const { switches, begin, heard } = bench(t);
  switches.add({ model: undefined, policy: RANDOM });
  switches.clear();
  const thread = begin(1);
  await heard();
  assert.deepEqual(thread.done, []);
});

it('a thread in which it fails goes on with the others', async (t) => {
  const { switches, begin, heard } = bench(t);
  const thread = begin(1, 'random');
  await heard();
  switches.add({ model: 'a', policy: RANDOM });
  switches.add({ model: 'b', policy: ROUND_ROBIN });
  await heard();
  assert.deepEqual(thread.done, [['b', 'round_robin']]);
});

it('a thread finds the memory that the policy came with', async (t) => {
  const { memory, switches, begin, heard } = bench(t);
  const thread = begin(1);
  await heard();
  assert.throws(() => thread.memory.region('test:index', 8));
  const here = new Int32Array(memory.region('test:index', 8));
  switches.add({ model: undefined, policy: RANDOM });
  await heard();
  here[1] = 7;
  assert.equal(new Int32Array(thread.memory.region('test:index', 8))[1], 7);
});
