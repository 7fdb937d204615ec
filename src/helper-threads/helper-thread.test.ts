import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../../test/support/fleet.ts';
import { recordingLog } from '../../test/support/recording-log.ts';
import { ECHO, END, NEVER } from '../../test/threads/stub-helper.ts';
import type { Channel } from '../base/channel.ts';
import { systemClock } from '../base/system-clock.ts';
import { createMetrics } from '../observe/metrics.ts';
import { startHelper, type HelperEnd, type HelperThread } from './helper-thread.ts';

const STUB = new URL('../../test/threads/stub-helper.ts', import.meta.url);

interface Bench {
  readonly helper: HelperThread;
  /** Channels of all threads so far. */
  readonly begun: Channel[];
  readonly ends: HelperEnd[];
  readonly lines: { message: string; fields: Record<string, unknown> }[];
  readonly metrics: ReturnType<typeof createMetrics>;
}

function start(t: TestContext, data: () => unknown = () => ({})): Bench {
  const [begun, ends]: [Channel[], HelperEnd[]] = [[], []];
  const lines: Bench['lines'] = [];
  const metrics = createMetrics();
  const helper = startHelper({
    ...{ name: 'text', module: STUB, data, heapMb: 32, clock: systemClock },
    ...{ log: recordingLog(lines), metrics, hungMs: 1_500, bringUpMs: 3_000 },
    onBegun: (channel) => begun.push(channel),
    onEnded: (end) => ends.push(end),
  });
  t.after(() => helper.stop());
  return { helper, begun, ends, lines, metrics };
}

function ended({ metrics }: Bench, cause: HelperEnd): number {
  return metrics.helperThreadEndsTotal.with('text', cause).value;
}

describe('a helper thread', () => {
  it('is handed its data, and answers what was asked before it had loaded', async (t) => {
    const { helper } = start(t, () => ({ plus: 2 }));
    assert.equal(await helper.channel?.ask(ECHO, 40), 42);
  });

  for (const [how, end, why] of [
    ['exception', 'fault', /a fault/],
    ['exit', 'fault', /it ended itself, with exit code 0/],
    ['out_of_memory', 'out_of_memory', /heap out of memory/],
    ['hung', 'hung', /undefined/],
  ] as const)
    it(`that ends by ${how} is replaced by one with data of its own, and counted`, async (t) => {
      let threads = 0;
      const bench = start(t, () => ({ plus: ++threads }));
      const { helper, begun, ends, lines } = bench;
      assert.equal(await helper.channel?.ask(ECHO, 0), 1);
      const unanswered = assert.rejects(helper.channel!.ask(NEVER, undefined), /the thread has ended/);
      helper.channel?.post(END, how);
      await unanswered;
      await eventually(() => begun.length === 2);
      assert.equal(await helper.channel?.ask(ECHO, 0), 2);
      assert.deepEqual(ends, [end]);
      assert.equal(ended(bench, end), 1);
      assert.equal(lines[0]?.fields['reason'], end);
      assert.match(String(lines[0].fields['err']), why);
    });

  it('whose module fails is tried again, with longer and longer pauses, until it does not fail', async (t) => {
    let fails: string | undefined = 'no such model';
    const bench = start(t, () => ({ fails }));
    await eventually(() => bench.ends.length === 3);
    assert.match(String(bench.lines[0]?.fields['err']), /no such model/);
    fails = undefined;
    const threads = bench.begun.length;
    await eventually(() => bench.begun.length > threads);
    assert.equal(await bench.helper.channel?.ask(ECHO, 7), 7);
  });

  it('that does not get to load its module is ended', async (t) => {
    const bench = start(t, () => ({ stuck: true }));
    await eventually(() => bench.ends.length === 1, 10_000);
    assert.deepEqual(bench.ends, ['hung']);
  });

  it('that is replaced by whoever gave it a job answers nothing more, from the same moment', async (t) => {
    const bench = start(t);
    const { helper, begun } = bench;
    await helper.channel?.ask(ECHO, 1);
    const asked = helper.channel!.ask(NEVER, undefined);
    helper.replace('over_time');
    assert.equal(helper.channel, undefined);
    await assert.rejects(asked, /the thread has ended/);
    await eventually(() => begun.length === 2);
    assert.deepEqual([bench.ends, ended(bench, 'over_time')], [['over_time'], 1]);
  });

  it('that is stopped while it begins is gone, and nobody comes after it', async (t) => {
    const bench = start(t);
    const asked = assert.rejects(bench.helper.channel!.ask(ECHO, 1), /the thread has ended/);
    await bench.helper.stop();
    await asked;
    assert.deepEqual([bench.begun.length, bench.ends, bench.helper.channel], [1, [], undefined]);
    assert.equal(bench.metrics.helperThreads.with('text').value, 0);
  });

  it('whose data cannot be posted does not take the program with it', async (t) => {
    const bench = start(t, () => ({ data: () => undefined }));
    await eventually(() => bench.ends.length === 2);
    assert.match(String(bench.lines[0]?.fields['err']), /could not be cloned/);
  });
});
