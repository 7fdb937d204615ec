import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../base/port-channel.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { createLog, createThreadLog, type OpenLog } from './log.ts';
import type { LogSink } from './log-sink.ts';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly thread?: number;
  readonly n?: number;
  readonly place?: string;
}

class Lines implements LogSink {
  readonly dropped = 0;
  readonly lines: Line[] = [];

  write(line: string): void {
    assert.ok(line.endsWith('\n'));
    this.lines.push(JSON.parse(line) as Line);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Control {
  readonly opened: OpenLog;
  readonly channels: PortChannels;
  readonly console: Lines;
}

function openControl(dir?: string): Control {
  const console = new Lines();
  const opened = createLog({ level: 'info', format: 'json', dir }, { console, isTerminal: false });
  const channels = new PortChannels();
  opened.takeFrom(channels);
  return { opened, channels, console };
}

/** A request thread, in this one. */
function startHere(t: TestContext, channels: PortChannels) {
  const { port1, port2 } = new MessageChannel();
  channels.add(1, port1);
  t.after(() => {
    port1.close();
  });
  const clock = new VirtualClock();
  return {
    clock,
    ...createThreadLog({ level: 'info' }, { channel: new PortChannel(port2), threads: 1, clock }),
  };
}

/** Lets messages between threads come. */
async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('the log of several threads', () => {
  it('has every line of two real ones, whole and in the order of its thread, on the console and in the file', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'thread-log-'));
    t.after(() => {
      rmSync(dir, { recursive: true, force: true });
    });
    const { opened, channels, console } = openControl(dir);
    const COUNT = 20_000;
    const program = new URL('../../test/threads/logging-thread.ts', import.meta.url);
    const ends = [1, 2].map((row) => {
      const worker = new Worker(program, { workerData: { what: 'lines', count: COUNT, row } });
      worker.on('exit', () => {
        channels.end(row);
      });
      // It has what a port has; only its overloads are others.
      channels.add(row, worker);
      t.after(() => worker.terminate());
      return once(worker, 'exit');
    });
    opened.log.info({ thread: 0, n: 0 }, 'of control');
    await Promise.all(ends);
    await opened.close();
    const [file = ''] = readdirSync(dir);
    const inFile = readFileSync(join(dir, file), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
    for (const lines of [console.lines, inFile]) {
      for (const row of [1, 2])
        assert.deepEqual(
          lines.filter(({ thread }) => thread === row).map(({ n }) => n),
          Array.from({ length: COUNT }, (_, n) => n),
        );
      assert.equal(lines.length, 2 * COUNT + 1);
    }
    assert.deepEqual([opened.dropped(), inFile[5]?.place], [0, 'ü'.repeat(40)]);
  });

  it('looks as if one thread had written it, for people too', async (t) => {
    const shown: string[] = [];
    const console: LogSink = {
      dropped: 0,
      write: (line) => void shown.push(line),
      close: () => Promise.resolve(),
    };
    const options = { level: 'info', format: 'pretty', dir: undefined } as const;
    const clock = new VirtualClock();
    const opened = createLog(options, { console, clock, isTerminal: false });
    const channels = new PortChannels();
    opened.takeFrom(channels);
    const thread = startHere(t, channels);
    for (const { log } of [opened, thread])
      log.child({ worker: 'w1' }).warn({ err: new Error('no\nway'), n: 1 }, 'it failed');
    await thread.close();
    assert.equal(shown.length, 2);
    assert.equal(shown[0], shown[1]);
    await opened.close();
  });

  it('gets errors and warnings at once, with what came before them, and the rest after a moment', async (t) => {
    const { channels, console } = openControl();
    const { log, clock } = startHere(t, channels);
    const said = (): string[] => console.lines.map(({ msg }) => msg);
    log.info({}, 'first');
    await turns();
    assert.deepEqual(said(), []);
    log.warn({}, 'second');
    await turns();
    assert.deepEqual(said(), ['first', 'second']);
    log.info({}, 'third');
    clock.advance(100);
    await turns();
    assert.deepEqual(said(), ['first', 'second', 'third']);
    log.error({}, 'fourth');
    // The thread dies: what it had posted is written.
    await turns();
    channels.end(1);
    assert.equal(said().at(-1), 'fourth');
  });

  it('changes its level in all threads', async (t) => {
    const { opened, channels, console } = openControl();
    const { log, close } = startHere(t, channels);
    const child = log.child({});
    assert.ok(!child.isLevelEnabled('debug'));
    opened.setLevel('debug');
    await turns();
    assert.ok(child.isLevelEnabled('debug'));
    child.debug({}, 'heard');
    opened.setLevel('error');
    await turns();
    child.warn({}, 'unheard');
    await close();
    assert.deepEqual(
      console.lines.map(({ msg }) => msg),
      ['heard'],
    );
  });

  it('counts what a thread gave up because control did not take it', async (t) => {
    const { opened, channels } = openControl();
    const { log, close } = startHere(t, channels);
    const big = 'x'.repeat(4 * 1024 * 1024);
    // In one turn, in which control has none.
    for (let n = 0; n < 6; n += 1) log.info({ place: big }, 'long');
    await close();
    assert.equal(opened.dropped(), 3);
  });
});
