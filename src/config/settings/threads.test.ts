import assert from 'node:assert/strict';
import { it } from 'node:test';
import { configFromOptions } from '../load/load.ts';
import { good, lines } from '../test-support.ts';
import { threadNotices, threadsOf } from './threads.ts';

const linux = (cpus: number): { cpus: number; platform: NodeJS.Platform } => ({ cpus, platform: 'linux' });

it('as many as were asked for, or one for each CPU where there are enough', () => {
  assert.deepEqual([threadsOf(4, linux(2)), threadsOf(1, linux(8))], [4, 1]);
  assert.deepEqual(
    [2, 3, 16, 192].map((cpus) => threadsOf('auto', linux(cpus))),
    [1, 3, 16, 64],
  );
});

it('one where a port cannot be shared, which is told', () => {
  const mac = { cpus: 8, platform: 'darwin' } as const;
  assert.deepEqual([threadsOf(4, mac), threadsOf('auto', mac)], [1, 1]);
  assert.match(threadNotices({ threads: 4 }, mac).join(), /one thread serves all requests, not 4/);
  assert.deepEqual(threadNotices({ threads: 'auto' }, mac), []);
});

it('more than there are CPUs is told', () => {
  assert.match(threadNotices({ threads: 4 }, linux(2)).join(), /4 are more than the 2 CPUs/);
  assert.deepEqual(threadNotices({ threads: 2 }, linux(2)), []);
});

it('what is no number of threads is refused', () => {
  const load = (threads: never) => configFromOptions({ workerUrls: ['http://w'], threads });
  for (const bad of [0, 65, 1.5, 'many'] as never[])
    assert.match(lines(load(bad)).join(), /threads: expected an integer from 1 to 64 or auto, got /);
  assert.equal(good(load(2 as never)).config.threads, 2);
});
