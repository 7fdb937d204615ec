/** What the doctor says of the events that a worker publishes, and of those that it does not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { examined, type Examined } from '../support/doctor.ts';

async function examine(options: SimOptions, ...flags: readonly string[]): Promise<Examined> {
  const worker = await startSimWorker({ timeScale: 0, ...options });
  try {
    return await examined('--worker-urls', worker.url, ...flags);
  } finally {
    await worker.stop();
  }
}

describe('the doctor and events', () => {
  it('hears the blocks of its probe, and has the message sent once more', async () => {
    for (const kvEvents of [
      true,
      { encoding: 'array', hashes: 'bytes', replayFraming: 'older', topic: 'kv@here@sim-model' },
    ] as const) {
      const { code, said } = await examine({ kvEvents });
      assert.match(said('events'), /^ok: tcp:\/\/127\.0\.0\.1:\d+ named the probe's blocks of 16 tokens/);
      assert.match(said('replay'), /^ok: tcp:\/\/127\.0\.0\.1:\d+ gave message \d+ once more/);
      assert.equal(code, 0);
    }
  });

  it('skips them where nobody publishes any, and says how that is turned on', async () => {
    const { code, said, worker } = await examine({});
    assert.equal(code, 0);
    assert.match(said('events'), /^skipped: it publishes none that is known/);
    assert.match(worker.checks.find(({ check }) => check === 'events')?.remedy ?? '', /--kv-events-config/);
    assert.equal(said('replay'), 'skipped: needs events');
  });

  it('finds ports that are closed', async () => {
    const { code, said } = await examine({ kvEvents: true, faults: ['kv_stop'] });
    assert.equal(code, 1);
    assert.match(said('events'), /^fail: no publisher at tcp:\/\/127\.0\.0\.1:\d+: unreachable/);
  });

  it('finds a publisher whose messages never come', async () => {
    const { code, said } = await examine({ kvEvents: true, faults: ['kv_lose'] });
    assert.equal(code, 1);
    assert.match(said('events'), /^fail: connected to .*, and nothing came within 3 s/);
  });

  it('makes up for a first message that is lost', async () => {
    const { said } = await examine({ kvEvents: true, faults: ['kv_lose:times=2'] });
    assert.match(said('events'), /^ok/);
  });

  it('survives messages that are garbage or beyond all bounds', async () => {
    const garbage = await examine({ kvEvents: true, faults: ['kv_garbage'] });
    assert.match(garbage.said('events'), /^fail: what .* sends cannot be read/);
    const huge = await examine({ kvEvents: true, faults: ['kv_huge'] });
    assert.match(huge.said('events'), /^fail: /);
  });

  it('finds a replay that is slow, or that there is none', async () => {
    const slow = await examine(
      { kvEvents: true, faults: ['kv_late_replay:ms=60000'] },
      ...['--check-timeout-secs', '2'],
    );
    assert.match(slow.said('events'), /^ok/);
    assert.match(slow.said('replay'), /^fail: no result within 2 s/);
    const none = await examine({ kvEvents: { replayPort: 'none' } });
    assert.match(none.said('replay'), /^warn: the publisher has no replay endpoint/);
    assert.equal(none.code, 0);
  });

  it('finds blocks of another size than the policy counts in', async () => {
    const options = { kvEvents: true, model: { blockSize: 32 } };
    const wrong = await examine(options, '--policy', 'kv_aware');
    assert.equal(wrong.code, 1);
    assert.equal(wrong.said('cache'), 'fail: blocks of 32 tokens, and 16 are configured');
    const right = await examine(options, '--policy', 'kv_aware', '--kv-block-size', '32');
    assert.equal(right.code, 0);
    assert.match(right.said('events'), /^ok: .* blocks of 32 tokens/);
  });

  it('holds what a worker publishes against what the router is to follow', async () => {
    const none = await examine({}, '--cache-knowledge', 'events');
    assert.equal(none.code, 1);
    assert.match(
      none.said('events'),
      /^fail: the router is to follow its events, and it says that it publishes none/,
    );
    const topic = await examine(
      { kvEvents: { topic: 'theirs' } },
      '--kv-events-topic',
      'ours',
      '--kv-events-port',
      '1',
    );
    assert.match(topic.said('events'), /^ok/, 'what the worker says of itself goes before');
    const off = await examine({ kvEvents: true }, '--kv-events-enabled', 'off');
    assert.equal(off.said('events'), 'skipped: kv_events.enabled is off');
  });

  it('finds that a worker is configured with another port or topic than its own', async () => {
    const worker = await startSimWorker({ timeScale: 0, kvEvents: { topic: 'theirs' } });
    const port = String(worker.kvEvents[0]?.port);
    const flag = `${worker.url}=tcp://127.0.0.1:`;
    const wrong = await examined('--worker-urls', worker.url, '--kv-events-endpoint', `${flag}1`);
    assert.match(wrong.said('events'), /^fail: no publisher at tcp:\/\/127\.0\.0\.1:1: unreachable/);
    const topic = await examined(
      ...['--worker-urls', worker.url, '--kv-events-endpoint', flag + port, '--kv-events-topic', 'ours'],
    );
    assert.match(topic.said('events'), /^fail: .* under the topic "theirs", and "ours" is subscribed to/);
    await worker.stop();
  });

  it('listens to every rank of a server', async () => {
    const { said } = await examine({ kvEvents: true, dataParallelSize: 2 });
    assert.match(said('load'), /on 2 engines/);
    assert.match(said('events'), /^ok/);
    const worker = await startSimWorker({ timeScale: 0, kvEvents: true, dataParallelSize: 2 });
    const { report, code } = await examined('--worker-urls', worker.url, '--data-parallel-size', '2');
    assert.equal(code, 0);
    const heard = report.workers.map(
      ({ checks }) => checks.find(({ check }) => check === 'events')?.finding.split(' ')[0],
    );
    assert.equal(new Set(heard).size, 2, 'each rank has a port of its own');
    await worker.stop();
  });
});
