/** What a request thread answers by itself is what control would: its copy of what is known says the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { openState, runtimeOf, type SharedState } from '../../src/app/shared-state.ts';
import { PortChannel, PortChannels } from '../../src/base/port-channel.ts';
import { systemRandom } from '../../src/base/random.ts';
import { JoinedMemory, SharedMemory } from '../../src/base/thread-memory.ts';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { configFromOptions } from '../../src/config/load/load.ts';
import { NO_PLUGINS } from '../../src/config/schema/plugin-policy-schema.ts';
import type { Settings } from '../../src/config/settings/settings.ts';
import { silentLog } from '../../src/observe/log.ts';
import { LOCAL_PATHS } from '../../src/request/arrive/endpoints.ts';
import { serveRequest } from '../../src/request/route-request.ts';
import { Drain } from '../../src/workers/drain.ts';
import type { WorkerRegistry } from '../../src/workers/registry.ts';
import type { Worker } from '../../src/workers/worker.ts';
import { ask } from '../support/raw-client.ts';
import { openListener } from '../threads/admin-listener.ts';

const PATHS = LOCAL_PATHS.map((path) => path.replace('{id}', 'm1')).filter(
  // Asks a worker; there is none.
  (path) => path !== '/health_generate',
);
const UNLIMITED = {
  ...{ openFiles: Infinity, perSide: Infinity, outbound: Infinity, standing: Infinity, scrapes: 1 },
};

interface Thread {
  readonly state: SharedState;
  readonly port: number;
  readonly stop: () => Promise<void>;
}

interface Both extends AsyncDisposable {
  readonly control: SharedState<WorkerRegistry>;
  readonly thread: SharedState;
  readonly clock: VirtualClock;
  readonly stopping: { now: boolean };
  /** Answers of control and of a request thread to every path; what is not the same fails. */
  readonly compare: (what: string) => Promise<ReadonlyMap<string, { status: number; body: string }>>;
}

function settingsOf(): Settings {
  const resolved = configFromOptions({
    workerUrls: ['http://127.0.0.1:1'],
    modelRules: [{ match: 'other', rewrite: 'm1' }],
  });
  assert.ok(resolved.kind === 'ok');
  return resolved.settings;
}

async function startBoth(): Promise<Both> {
  const settings = settingsOf();
  const clock = new VirtualClock();
  const stopping = { now: false };
  const common = {
    ...{ clock, random: systemRandom, log: silentLog, plugins: NO_PLUGINS, descriptors: UNLIMITED },
    stopping: () => stopping.now,
  };
  const channels = new PortChannels();
  const memory = new SharedMemory(1);
  const control = openState(settings, { ...common, part: { kind: 'control', memory, channels } });
  const { port1, port2 } = new MessageChannel();
  channels.add(1, port1);
  const channel = new PortChannel(port2);
  const thread = openState(settings, {
    ...common,
    part: {
      kind: 'request',
      memory: new JoinedMemory(memory.regions, { rows: memory.rows, self: 1 }),
      channel,
    },
  });
  channel.answer({ name: 'test:heard' }, () => true);
  await thread.registry.start();
  const ends = [await listen(control, settings), await listen(thread, settings)];
  return {
    ...{ control, thread, clock, stopping },
    compare: async (what) => {
      await channels.askAll({ name: 'test:heard' }, undefined, 10_000);
      const answers = new Map<string, { status: number; body: string }>();
      for (const path of PATHS) {
        const [here, there] = await Promise.all(
          ends.map(async ({ port }) => {
            const { status, body } = await ask(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
            return { status, body: body.toString() };
          }),
        );
        assert.deepEqual(there, here, `${what}: ${path}`);
        if (here) answers.set(path, here);
      }
      return answers;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(ends.map(({ stop }) => stop()));
      thread.registry.stop();
      await thread.view.close();
      port1.close();
    },
  };
}

async function listen(state: SharedState, settings: Settings): Promise<Thread> {
  const runtime = runtimeOf(state, settings);
  const edge = openListener({ host: '127.0.0.1', peer: undefined }, (req, res) => {
    void serveRequest(runtime, req, res);
    return true;
  });
  return {
    state,
    port: await edge.listen(),
    stop: async () => {
      const stopped = edge.stop();
      edge.cut();
      await stopped;
      state.connections.close();
    },
  };
}

test('every local answer is the same in a request thread as in control, whatever becomes of the workers', async () => {
  await using both = await startBoth();
  const { control, thread, clock, stopping, compare } = both;
  const { registry, connections, ledger } = control;
  const spec = settingsOf().workers[0];
  assert.ok(spec);
  const join = (port: number): Worker => {
    const baseUrl = `http://127.0.0.1:${port}`;
    return registry.add({ ...spec, id: baseUrl, baseUrl });
  };
  const card = (id: string) => ({ id, object: 'model', root: `/models/${id}`, max_model_len: 4096 });
  const seen = new Set<string>();
  const look = async (what: string): Promise<ReadonlyMap<string, { status: number; body: string }>> => {
    const answers = await compare(what);
    const all = JSON.stringify([...answers]);
    assert.ok(!seen.has(all), `${what}: nothing is different`);
    seen.add(all);
    return answers;
  };

  await look('nobody is there');
  const [first, second] = [join(1), join(2)];
  await look('two have joined');
  registry.setModels(first, new Set(['m1', 'm2']), [card('m1'), card('m2')]);
  registry.reportCheck(first, true);
  assert.equal((await look('one is healthy')).get('/readiness')?.status, 200);
  connections.noteVersion(first.spec, {
    ...{ ok: true, version: '0.30.1' },
  });
  assert.match((await look('its version is known')).get('/version')?.body ?? '', /0\.30\.1/);
  registry.reportCheck(second, false, 'connection refused');
  await look('the other one cannot be reached');
  registry.reportCheck(second, false, 'status 503');
  await look('for another reason');
  registry.reportCheck(second, true);
  registry.setModels(second, new Set(['m3']), [card('m3')]);
  assert.equal((await look('both are healthy')).get('/health')?.status, 200);
  registry.setEngine(second, 'sleeping');
  await look('one sleeps');
  registry.setEngine(second, 'running');
  registry.setProgress(second, 'stalled');
  assert.equal((await look('one stands still')).get('/health')?.status, 503);
  registry.setProgress(second, 'moving');
  const drain = new Drain(second, { clock, ledger, timeoutMs: 60_000 });
  registry.setEngine(first, 'paused');
  assert.equal((await look('one is drained, and the other is paused')).get('/readiness')?.status, 503);
  drain.cancel();
  registry.reportUndrained(second);
  registry.setEngine(first, 'running');
  registry.setModels(first, new Set(['m1']), [{ ...card('m1'), max_model_len: 8192 }]);
  await look('a model is gone, and another one has grown');
  registry.remove(second);
  await look('one has left');
  const there = thread.registry.get(first.id);
  assert.ok(there);
  const lease = thread.ledger.acquire(there.slot, { prefillTokens: 100, kvTokens: 100, stream: true });
  assert.match((await look('a thread has sent a request')).get('/get_server_info')?.body ?? '', /"load":1/);
  lease.release();
  for (let failure = 0; there.breaker.state(clock.now()) === 'closed'; failure += 1) {
    assert.ok(failure < 100);
    there.breaker.permit(clock.now()).failure();
    await compare('a request of the thread has failed');
  }
  assert.match((await look('and many did')).get('/get_server_info')?.body ?? '', /"circuit_breaker":"open"/);
  stopping.now = true;
  assert.equal((await look('the router stops')).get('/readiness')?.status, 503);
});
