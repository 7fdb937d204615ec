import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../base/port-channel.ts';
import { systemClock } from '../base/system-clock.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { DecisionLogSettings } from '../config/settings/settings.ts';
import { DecisionLog } from './decision-log.ts';
import { PostedRecords, takeRecords } from './posted-records.ts';

function setUp(t: TestContext, more: Partial<DecisionLogSettings> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'posted-records-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const settings: DecisionLogSettings = {
    path: join(dir, 'd.jsonl'),
    intervalMs: 10_000,
    includeRequestText: false,
    candidates: 8,
    maxFileBytes: 1e9,
    maxFileAgeMs: 1e9,
    keepFiles: 3,
    maxWaitingBytes: 64e6,
    ...more,
  };
  const log = new DecisionLog(settings, {
    clock: systemClock,
    onTrouble: (error) => assert.fail(String(error)),
  });
  const channels = new PortChannels();
  takeRecords(channels, log);
  return { settings, log, channels };
}

/** A request thread, in this one. */
function startHere(t: TestContext, channels: PortChannels, settings: DecisionLogSettings) {
  const { port1, port2 } = new MessageChannel();
  channels.add(1, port1);
  t.after(() => {
    port1.close();
  });
  const clock = new VirtualClock();
  const channel = new PortChannel(port2);
  return { clock, records: new PostedRecords(settings, { channel, clock, threads: 1 }) };
}

interface Line {
  readonly thread: number;
  readonly n: number;
  readonly text: string;
}

function linesOf(path: string): Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

/** Lets messages between threads come. */
async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('the decision log of several threads', () => {
  it('has every record of two real ones, whole and in the order of its thread', async (t) => {
    const { settings, log, channels } = setUp(t);
    await log.open();
    const COUNT = 20_000;
    const program = new URL('../../test/threads/logging-thread.ts', import.meta.url);
    const threads = [1, 2].map((row) => {
      const workerData = { what: 'records', count: COUNT, row, settings };
      const worker = new Worker(program, { workerData });
      worker.on('exit', () => {
        channels.end(row);
      });
      // It has what a port has; only its overloads are others.
      channels.add(row, worker);
      t.after(() => worker.terminate());
      return once(worker, 'exit');
    });
    log.push({ thread: 0, n: 0, text: 'of control' });
    await Promise.all(threads);
    await log.close();
    const lines = linesOf(settings.path);
    for (const row of [1, 2])
      assert.deepEqual(
        lines.filter(({ thread }) => thread === row).map(({ n }) => n),
        Array.from({ length: COUNT }, (_, n) => n),
      );
    assert.equal(lines.length, 2 * COUNT + 1);
    assert.deepEqual([log.written, log.dropped], [2 * COUNT + 1, 0]);
  });

  it('takes what waits after a moment, and what is longer than a batch by itself', async (t) => {
    const { settings, log, channels } = setUp(t);
    const { clock, records } = startHere(t, channels, settings);
    records.push({ n: 0 });
    await turns();
    assert.equal(log.waitingBytes, 0);
    clock.advance(100);
    await turns();
    assert.equal(log.waitingBytes, 8);
    records.push({ n: 1 });
    records.push({ n: 2, text: 'é'.repeat(100_000) });
    records.push({ n: 3 });
    await records.close();
    records.push({ n: 4 });
    await log.close();
    assert.deepEqual(
      linesOf(settings.path).map(({ n, text }) => [n, text?.length]),
      [
        [0, undefined],
        [1, undefined],
        [2, 100_000],
        [3, undefined],
      ],
    );
  });

  it('gives up what is beyond the share of its thread, until it has been written, and counts it once', async (t) => {
    const { settings, log, channels } = setUp(t, { maxWaitingBytes: 100 });
    const { records } = startHere(t, channels, settings);
    const record = { text: 'x'.repeat(28) };
    for (let n = 0; n < 5; n += 1) records.push(record);
    // Two of 40 bytes fit; they wait for the disk in control.
    await turns();
    assert.equal(records.dropped, 3);
    records.push(record);
    assert.equal(records.dropped, 4);
    await records.close();
    assert.equal(log.dropped, 4);
    await log.flush();
    await log.close();
    assert.deepEqual([log.written, log.dropped], [2, 4]);
    assert.equal(linesOf(settings.path).length, 2);
  });

  it('lets a thread go on when its records have been written', async (t) => {
    const { settings, log, channels } = setUp(t, { maxWaitingBytes: 100 });
    const { clock, records } = startHere(t, channels, settings);
    for (let round = 0; round < 3; round += 1) {
      for (let n = 0; n < 3; n += 1) records.push({ text: 'x'.repeat(28) });
      clock.advance(100);
      await turns();
      await log.flush();
      await turns();
    }
    await records.close();
    await log.close();
    assert.deepEqual([log.written, log.dropped], [6, 3]);
  });

  it('writes what a thread had posted that is gone by then', async (t) => {
    const { settings, log, channels } = setUp(t);
    const { clock, records } = startHere(t, channels, settings);
    records.push({ n: 7 });
    clock.advance(100);
    await turns();
    channels.end(1);
    await log.close();
    assert.deepEqual(
      linesOf(settings.path).map(({ n }) => n),
      [7],
    );
  });
});
