import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import type { MessageKind, QuestionKind } from './channel.ts';
import { PortChannel, PortChannels } from './port-channel.ts';

const NOTE: MessageKind<number> = { name: 'note' };
const DOUBLE: QuestionKind<number, number> = { name: 'double' };

/** Control's channels, and the ends of as many request threads, all in this one. */
function connect(
  t: TestContext,
  rows: readonly number[],
): { channels: PortChannels; threads: PortChannel[] } {
  const channels = new PortChannels();
  const threads = rows.map((row) => {
    const { port1, port2 } = new MessageChannel();
    channels.add(row, port1);
    t.after(() => {
      port1.close();
    });
    return new PortChannel(port2);
  });
  return { channels, threads };
}

it('messages come in order, with the thread they are from', async (t) => {
  const { channels, threads } = connect(t, [1, 2]);
  const heard: string[] = [];
  const { promise, resolve } = Promise.withResolvers<undefined>();
  channels.on(NOTE, (row, body) => {
    heard.push(`${row}:${body}`);
    if (heard.length === 4) resolve(undefined);
  });
  for (const body of [1, 2]) for (const thread of threads) thread.post(NOTE, body);
  await promise;
  assert.deepEqual(
    heard.filter((one) => one.startsWith('1')),
    ['1:1', '1:2'],
  );
  assert.deepEqual(
    heard.filter((one) => one.startsWith('2')),
    ['2:1', '2:2'],
  );
});

it('a question is answered, or its failure told, in both directions', async (t) => {
  const { channels, threads } = connect(t, [1]);
  const [thread] = threads;
  assert.ok(thread);
  channels.answer(DOUBLE, (row, body) => Promise.resolve(2 * body + row));
  thread.answer(DOUBLE, (body) => {
    if (body === 0) throw new Error('nothing to double');
    return 2 * body;
  });
  assert.equal(await thread.ask(DOUBLE, 4), 9);
  assert.equal(await channels.to(1)?.ask(DOUBLE, 4), 8);
  await assert.rejects(channels.to(1)?.ask(DOUBLE, 0) ?? Promise.resolve(), /nothing to double/);
  await assert.rejects(thread.ask({ name: 'unheard' }, 0), /nobody answers/);
});

it('who asks all threads gets the answers that came in time', async (t) => {
  const { channels, threads } = connect(t, [1, 2, 3]);
  threads[0]?.answer(DOUBLE, (body) => 2 * body);
  threads[1]?.answer(DOUBLE, () => new Promise(() => undefined));
  threads[2]?.answer(DOUBLE, (body) => Promise.resolve(3 * body));
  assert.deepEqual(await channels.askAll(DOUBLE, 5, 50), [
    { row: 1, answer: 10 },
    { row: 3, answer: 15 },
  ]);
});

it('nobody waits for the answers of a thread that only begins, before it serves', async (t) => {
  const { channels, threads } = connect(t, [1]);
  threads[0]?.answer(DOUBLE, (body) => 2 * body);
  const { port1, port2 } = new MessageChannel();
  t.after(() => {
    port1.close();
  });
  channels.add(2, port1, true);
  const late = new PortChannel(port2);
  // Far longer than the test may take.
  assert.deepEqual(await channels.askAll(DOUBLE, 1, 1_000_000), [{ row: 1, answer: 2 }]);
  late.answer(DOUBLE, (body) => 3 * body);
  channels.serves(2);
  assert.deepEqual(await channels.askAll(DOUBLE, 1, 1_000_000), [
    { row: 1, answer: 2 },
    { row: 2, answer: 3 },
  ]);
});

it('when a thread ends nobody waits for it any more, and its row can be another one', async (t) => {
  const { channels } = connect(t, [1]);
  const ended: number[] = [];
  channels.onEnded((row) => ended.push(row));
  const asked = channels.to(1)?.ask(DOUBLE, 1);
  channels.end(1);
  channels.end(1);
  await assert.rejects(asked ?? Promise.resolve(), /has ended/);
  assert.deepEqual([ended, channels.to(1)], [[1], undefined]);
  const { port1, port2 } = new MessageChannel();
  t.after(() => {
    port1.close();
  });
  channels.answer(DOUBLE, (_, body) => 2 * body);
  channels.add(1, port1);
  assert.equal(await new PortChannel(port2).ask(DOUBLE, 3), 6);
});

it('what is held back goes before anything else that is posted', async (t) => {
  const { channels, threads } = connect(t, [1]);
  const heard: number[] = [];
  let held = [1, 2];
  channels.beforePost(() => {
    const now = held;
    held = [];
    for (const body of now) channels.broadcast(NOTE, body);
  });
  threads[0]?.on(NOTE, (body) => heard.push(body));
  threads[0]?.answer(DOUBLE, (body) => 2 * body);
  await channels.askAll(DOUBLE, 3, 1_000);
  assert.deepEqual(heard, [1, 2]);
});
