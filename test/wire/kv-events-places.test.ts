/** Where cache events are received: another place after a reload, none, and publishers that connect to the router. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/system-clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import { readEndpoint } from '../../src/zmtp/endpoint.ts';
import { PubSocket } from '../../src/zmtp/pub.ts';
import { SubSocket } from '../../src/zmtp/sub.ts';
import { startFileFleet } from '../support/file-fleet.ts';
import { eventually, type Fleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { complete, promptOf, untilKnown } from '../support/known-prompts.ts';
import { scrape } from '../support/metrics.ts';

const router = { policy: { type: 'kv_aware', enable_speculative: false } } as const;

/** What the worker publishes, under the topic by which a worker is known, from somebody who connects to `to`. */
function connectingPublisher(t: TestContext, worker: SimWorker, topic: string, to: number): PubSocket {
  const options = { clock: systemClock, random: systemRandom };
  const own = readEndpoint(`tcp://127.0.0.1:${worker.kvEvents[0]?.port ?? 0}`);
  const theirs = readEndpoint(`tcp://127.0.0.1:${to}`);
  assert.ok(own && theirs);
  const publisher = PubSocket.connect(theirs, options);
  const heard = new SubSocket(own, [''], options, {
    onReady: () => undefined,
    onMessage: ([, ...rest]) => void publisher.send([Buffer.from(topic), ...rest]),
    onEnd: () => undefined,
  });
  t.after(async () => {
    heard.close();
    await publisher.close();
  });
  return publisher;
}

/** What came of somebody who is no worker shows in the metrics once the index thread has told of it. */
async function untilDropped(fleet: Fleet): Promise<void> {
  const until = performance.now() + 10_000;
  while ((await scrape(fleet)).sum('vllm_router_kv_events_dropped_total') === 0)
    assert.ok(performance.now() < until, 'nothing was dropped');
}

describe('where cache events are received', () => {
  it('is another place after a reload, and none where they are turned off', async () => {
    await using fleet = await startFileFleet(router, { workers: [{ kvEvents: true }] });
    const [worker] = fleet.workers;
    assert.ok(worker);
    await complete(worker.url, promptOf(1, 4));
    await untilKnown(fleet, promptOf(1, 6), { [worker.url]: 'events 64' });
    fleet.write({ policy: { type: 'least_work' }, kv_events: { enabled: 'off' } });
    assert.equal((await fleet.reload()).status, 200);
    await untilKnown(fleet, promptOf(1, 6), { [worker.url]: 'predicted 0' });
    const { port, replayPort } = worker.kvEvents[0] ?? {};
    fleet.write({
      ...router,
      worker_urls: [],
      workers: [{ url: worker.url, kv_events: { port, replay_port: replayPort } }],
    });
    assert.equal((await fleet.reload()).status, 200);
    await untilKnown(fleet, promptOf(1, 6), { [worker.url]: 'events 64' });
    fleet.write({ ...router, worker_urls: [], workers: [{ url: worker.url, kv_events: { port: 1 } }] });
    assert.equal((await fleet.reload()).status, 200);
    await untilKnown(fleet, promptOf(1, 6), { [worker.url]: 'predicted 0' });
  });

  it('is the router itself, where publishers connect: their topic says whose they are', async (t) => {
    const port = await freePort();
    const engine = await startSimWorker({ timeScale: 0, kvEvents: true });
    t.after(() => engine.stop());
    await using fleet = await startFileFleet(router, { workers: [{}] });
    const [worker] = fleet.workers;
    assert.ok(worker);
    // It says that it publishes nothing: what is configured goes before that.
    fleet.write({
      ...router,
      worker_urls: [],
      workers: [{ url: worker.url, kv_events: { ranks: 1 } }],
      kv_events: { bind: `tcp://127.0.0.1:${port}` },
    });
    assert.equal((await fleet.reload()).status, 200);
    const topic = `kv@${new URL(worker.url).host}@sim-model`;
    const [known, stranger] = [topic, 'kv@127.0.0.1:1@sim-model'].map((name) =>
      connectingPublisher(t, engine, name, port),
    );
    await eventually(
      () => known?.subscribers === 1 && stranger?.subscribers === 1 && engine.kvSubscribers === 2,
    );
    await complete(engine.url, promptOf(1, 4));
    await untilKnown(fleet, promptOf(1, 6), { [worker.url]: 'events 64' });
    await untilDropped(fleet);
  });
});
