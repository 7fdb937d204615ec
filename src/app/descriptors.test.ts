import assert from 'node:assert/strict';
import { it } from 'node:test';
import { silentLog } from '../observe/log.ts';
import { openFilesLimit, planDescriptors, withinDescriptors } from './descriptors.ts';

it('half of what is left after the reserve is for clients, half for workers', () => {
  assert.equal(planDescriptors(200, 2).perSide, 67);
  assert.equal(planDescriptors(1024, 2).perSide, 479);
  assert.equal(planDescriptors(100_000, 1).perSide, (100_000 - 5_000 - 1 - 1) / 2);
});

it('standing clients and scrapes leave most of the reserve alone', () => {
  for (const openFiles of [100, 200, 1024, 65_536]) {
    const { perSide, outbound, standing, scrapes } = planDescriptors(openFiles, 2);
    const left = openFiles - perSide - outbound - 2 - standing - scrapes;
    assert.ok(openFiles < 200 || left >= 30, `${openFiles}: ${left}`);
    assert.ok(perSide >= 1 && scrapes >= 1);
  }
});

it('a limit that is not known bounds nothing', () => {
  const plan = planDescriptors(Infinity, 2);
  const settings = { maxConcurrent: 32_768, queueSize: 1, queueTimeoutMs: 1, ratePerSecond: undefined };
  assert.equal(withinDescriptors(settings, plan, silentLog), settings);
  assert.equal(plan.standing, Infinity);
});

it('requests at once are lowered to what there are descriptors for, never raised', () => {
  const settings = { maxConcurrent: 100, queueSize: 1, queueTimeoutMs: 1, ratePerSecond: undefined };
  assert.equal(withinDescriptors(settings, planDescriptors(200, 2), silentLog).maxConcurrent, 67);
  assert.equal(withinDescriptors(settings, planDescriptors(1024, 2), silentLog).maxConcurrent, 100);
});

it('this process has a limit', () => {
  assert.ok(openFilesLimit() > 0);
});
