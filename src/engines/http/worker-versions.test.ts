import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../../base/port-channel.ts';
import { JoinedMemory, SharedMemory } from '../../base/thread-memory.ts';
import { aloneInRouter } from '../../base/thread-part.ts';
import { WorkerVersions } from './worker-versions.ts';

it('one thread knows what it has noted', () => {
  const versions = new WorkerVersions(aloneInRouter());
  versions.note('http://a', '1');
  assert.deepEqual([versions.of('http://a'), versions.of('http://b')], ['1', undefined]);
  versions.drop('http://a');
  assert.equal(versions.of('http://a'), undefined);
});

it('request threads know what control knows, also those that begin later', async (t) => {
  const channels = new PortChannels();
  const control = new WorkerVersions({ kind: 'control', memory: new SharedMemory(2), channels });
  const begin = (row: number): WorkerVersions => {
    const { port1, port2 } = new MessageChannel();
    t.after(() => {
      port1.close();
    });
    channels.add(row, port1);
    const channel = new PortChannel(port2);
    const memory = new JoinedMemory(new Map(), { rows: 3, self: row });
    const versions = new WorkerVersions({ kind: 'request', memory, channel });
    channel.answer({ name: 'test:heard' }, () => true);
    return versions;
  };
  // Twice: a thread that begins has asked by the first answer, and been told by the second.
  const heard = async (): Promise<void> => {
    for (let round = 0; round < 2; round += 1)
      await channels.askAll({ name: 'test:heard' }, undefined, 10_000);
  };
  const first = begin(1);
  control.note('http://a', '1');
  control.note('http://b', '1');
  control.note('http://a', '2');
  control.drop('http://b');
  const second = begin(2);
  await heard();
  for (const thread of [first, second])
    assert.deepEqual([thread.of('http://a'), thread.of('http://b')], ['2', undefined]);
  // A thread may hear late that a worker is gone: by then control may know of another one there.
  first.drop('http://a');
  assert.equal(first.of('http://a'), '2');
});
