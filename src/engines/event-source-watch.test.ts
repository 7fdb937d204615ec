import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { LoadLedger } from '../workers/ledger.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import { EventSourceWatch } from './event-source-watch.ts';
import type { SourcesAnswer } from './http/event-sources.ts';

const FAILED: SourcesAnswer = { kind: 'failed' };

function sourceOf(rank: number) {
  return { rank, endpoint: `tcp://*:${5557 + rank}`, replayEndpoint: undefined, topic: '' };
}

/** A server of so many ranks (0: not divided), whose answers are given one by one. */
function setUp(ranks: number) {
  const clock = new VirtualClock();
  const ledger = new LoadLedger(clock);
  const registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
  const answers: SourcesAnswer[] = [];
  const asked: number[] = [];
  const watch = new EventSourceWatch({
    ...{ registry, clock },
    ask: () => {
      asked.push(clock.now());
      return Promise.resolve(answers.shift() ?? FAILED);
    },
  });
  watch.start();
  const baseUrl = 'http://a:8000';
  const workers = Array.from({ length: Math.max(1, ranks) }, (_, at) => {
    const rank = ranks === 0 ? undefined : at;
    const id = rank === undefined ? baseUrl : `${baseUrl}@${rank}`;
    return registry.add({ baseUrl, id, rank, apiKey: undefined, traits: DEFAULT_TRAITS });
  });
  const report = (ok: boolean): void => {
    for (const worker of workers) for (let check = 0; check < 5; check++) registry.reportCheck(worker, ok);
  };
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { registry, workers, answers, asked, watch, report, pass };
}

describe('a server that becomes healthy', () => {
  it('is asked once for all its ranks, and each learns its own', async () => {
    const { workers, answers, asked, report, pass } = setUp(2);
    answers.push({ kind: 'told', sources: [sourceOf(0), sourceOf(1)] });
    report(true);
    await pass(0);
    assert.equal(asked.length, 1);
    assert.deepEqual(
      workers.map(({ eventSources }) => eventSources),
      [[sourceOf(0)], [sourceOf(1)]],
    );
    await pass(3_600_000);
    assert.equal(asked.length, 1);
  });

  it('that is one worker learns all', async () => {
    const { workers, answers, report, pass } = setUp(0);
    answers.push({ kind: 'told', sources: [sourceOf(0), sourceOf(1)] });
    report(true);
    await pass(0);
    assert.equal(workers[0]?.eventSources?.length, 2);
  });

  it('is asked again after longer and longer pauses where it does not answer, and not after it has left', async () => {
    const { registry, workers, asked, report, pass } = setUp(0);
    report(true);
    await pass(0);
    await pass(1000);
    await pass(1999);
    assert.deepEqual(asked, [0, 1000]);
    await pass(1);
    assert.deepEqual(asked, [0, 1000, 3000]);
    registry.remove(workers[0]!);
    await pass(3_600_000);
    await pass(3_600_000);
    assert.equal(asked.length, 3);
  });

  it('is asked anew where it was gone, and what it no longer says is no longer known', async () => {
    const { workers, answers, asked, report, pass } = setUp(0);
    answers.push({ kind: 'told', sources: [sourceOf(0)] }, { kind: 'not_offered' });
    report(true);
    await pass(0);
    assert.deepEqual(workers[0]?.eventSources, [sourceOf(0)]);
    report(false);
    report(true);
    await pass(0);
    assert.equal(asked.length, 2);
    assert.equal(workers[0]?.eventSources, undefined);
  });

  it('is left in peace once the watch has stopped', async () => {
    const { asked, watch, report, pass } = setUp(0);
    report(true);
    watch.stop();
    await pass(10_000);
    assert.equal(asked.length, 0);
  });
});
