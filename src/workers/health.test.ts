import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HealthSettings, WorkerSpec } from '../config/settings/settings.ts';
import { seededRandom } from '../base/random.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { HealthChecker } from './health.ts';
import type { ProbeResult } from './health.ts';
import { LoadLedger } from './ledger.ts';
import { WorkerRegistry } from './registry.ts';

const settings: HealthSettings = {
  path: '/health',
  intervalMs: 10_000,
  timeoutMs: 1000,
  failureThreshold: 3,
  successThreshold: 2,
};
const breaker = {
  enabled: true,
  failureThreshold: 10,
  successThreshold: 3,
  openMs: 1000,
  windowMs: 1000,
  halfOpenTrials: 1,
};

interface Asked {
  readonly id: string;
  readonly at: number;
  readonly signal: AbortSignal;
  readonly anew: boolean;
  answer(result: ProbeResult): Promise<void>;
  fail(error: Error): Promise<void>;
}

function spec(baseUrl: string, rank?: number): WorkerSpec {
  return {
    baseUrl,
    rank,
    id: rank === undefined ? baseUrl : `${baseUrl}@${String(rank)}`,
    apiKey: undefined,
    traits: DEFAULT_TRAITS,
  };
}

/** Lets the answers that have been given arrive. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

function setUp(random = () => 0.5) {
  const clock = new VirtualClock();
  const registry = new WorkerRegistry({
    clock,
    ledger: new LoadLedger(clock),
    breaker,
    health: settings,
    slowStartMs: 0,
  });
  const asked: Asked[] = [];
  const checker = new HealthChecker({
    registry,
    clock,
    random,
    settings,
    startupTimeoutMs: 5000,
    startupCheckIntervalMs: 1000,
    probe: (worker, signal, anew) => {
      const { promise, resolve, reject } = Promise.withResolvers<ProbeResult>();
      asked.push({
        id: worker.id,
        at: clock.now(),
        ...{ signal, anew },
        answer: (result) => {
          resolve(result);
          return settled();
        },
        fail: (error) => {
          reject(error);
          return settled();
        },
      });
      return promise;
    },
  });
  const last = (): Asked => {
    const found = asked.at(-1);
    assert.ok(found);
    return found;
  };
  /** Advances step by step, answering each check as it comes. */
  const live = async (ms: number, ok: (asked: Asked) => boolean): Promise<void> => {
    const until = clock.now() + ms;
    let answered = asked.length;
    while (clock.now() < until) {
      clock.advance(Math.min(10, until - clock.now()));
      for (; answered < asked.length; answered++) {
        const one = asked[answered];
        if (one !== undefined) await one.answer({ ok: ok(one), reason: 'down' });
      }
    }
  };
  return { clock, registry, checker, asked, last, live };
}

describe('start-up', () => {
  it('checks a new worker at once, then ever more slowly, until it answers', async () => {
    const { registry, checker, asked, live } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    await live(4000, () => false);
    const gaps = asked.slice(1).map(({ at }, index) => at - (asked[index]?.at ?? 0));
    assert.ok((asked[0]?.at ?? 99) < 1);
    // Answers come with the next 10 ms step.
    assert.deepEqual(
      gaps.map((gap) => Math.floor(gap / 100) * 100),
      [200, 400, 800, 1000, 1000],
    );
    assert.equal(worker.health.healthy, false);
    assert.equal(worker.health.reason, 'down');
    await live(1000, () => true);
    assert.equal(worker.health.healthy, true);
  });

  it('takes over what it learns of models before the worker becomes eligible', async () => {
    const { clock, registry, checker, last } = setUp();
    const seen: string[] = [];
    registry.on(({ type }) => seen.push(type));
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    await last().answer({ ok: true, models: { ids: ['x'], cards: [{ id: 'x' }] } });
    assert.deepEqual(seen, ['joined', 'models', 'healthy']);
    assert.deepEqual([...worker.models], ['x']);
    assert.deepEqual(registry.modelCards(), [{ id: 'x' }]);
  });

  it('reports the first healthy worker, and gives up in time', async () => {
    const { clock, registry, checker, last } = setUp();
    checker.start();
    registry.add(spec('a'));
    const soon = checker.waitForFirst(10);
    const first = checker.waitForFirst();
    clock.advance(10);
    assert.equal(await soon, false);
    await last().answer({ ok: true });
    assert.equal(await first, true);
    assert.equal(await checker.waitForFirst(0), true);
    checker.stop();
    assert.equal(clock.pending, 0);
  });

  it('ends waiting when stopped', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    checker.start();
    registry.add(spec('a'));
    clock.advance(1);
    const first = checker.waitForFirst();
    checker.stop();
    assert.equal(await first, false);
    assert.equal(last().signal.aborted, true);
    await last().answer({ ok: true });
    assert.equal(registry.get('a')?.health.healthy, false);
    registry.add(spec('b'));
    clock.advance(100_000);
    assert.equal(asked.length, 1);
    assert.equal(clock.pending, 0);
  });
});

describe('periodic checks', () => {
  it('come with jitter, and spread over the interval at first', async () => {
    const { clock, registry, checker, asked, live } = setUp(seededRandom(7));
    for (let index = 0; index < 50; index++) registry.add(spec(`w${String(index)}`));
    checker.start();
    await live(60_000, () => true);
    const timesOf = (id: string): number[] => asked.filter((one) => one.id === id).map(({ at }) => at);
    const second = registry.workers.map(({ id }) => timesOf(id)[1] ?? 0);
    for (const [from, to] of [
      [0, 5000],
      [5000, 10_100],
    ] as const) {
      const inside = second.filter((at) => at >= from && at < to).length;
      assert.ok(inside > 12 && inside < 38, String(inside));
    }
    const times = timesOf('w3');
    const gaps = times.slice(2).map((at, index) => at - (times[index + 1] ?? 0));
    assert.ok(gaps.length >= 3);
    for (const gap of gaps) assert.ok(gap >= 9000 && gap <= 11_020, String(gap));
    assert.ok(Math.max(...gaps) - Math.min(...gaps) > 200);
    checker.stop();
    assert.equal(clock.pending, 0);
  });

  it('take a worker out after enough failures and back after enough successes', async () => {
    const { registry, checker, live } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    await live(100, () => true);
    await live(24_000, () => false);
    assert.equal(worker.health.healthy, true);
    await live(10_000, () => false);
    assert.equal(worker.health.healthy, false);
    await live(10_000, () => true);
    assert.equal(worker.health.healthy, false);
    await live(10_000, () => true);
    assert.equal(worker.health.healthy, true);
  });
});

describe('a check', () => {
  it('fails at its timeout; what comes later is ignored', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    const slow = last();
    clock.advance(1000);
    assert.equal(slow.signal.aborted, true);
    assert.match(worker.health.reason ?? '', /1000 ms/);
    await slow.answer({ ok: true });
    assert.equal(worker.health.healthy, false);
    clock.advance(200);
    assert.equal(asked.length, 2);
  });

  it('fails when the probe throws', async () => {
    const { clock, registry, checker, last } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    await last().fail(new Error('ECONNREFUSED'));
    assert.equal(worker.health.reason, 'ECONNREFUSED');
    assert.equal(worker.health.failures, 1);
  });

  it('is made at once for an unreachable worker, one at a time', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    await last().answer({ ok: true });
    for (let failure = 0; failure < 3; failure++) {
      for (let request = 0; request < 20; request++) registry.reportUnreachable(worker);
      assert.equal(asked.length, failure + 2);
      assert.equal(last().anew, true);
      await last().answer({ ok: false });
    }
    assert.equal(asked[0]?.anew, false);
    assert.equal(worker.health.healthy, false);
    // The next one is due in its time.
    clock.advance(8900);
    assert.equal(asked.length, 4);
    clock.advance(2200);
    assert.equal(asked.length, 5);
  });

  it('is made soon for a worker that did not know a model it lists, once a second at most', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    await last().answer({ ok: true, models: { ids: ['m', 'gone'], cards: [] } });
    // The list was read a moment ago: by and by.
    for (let request = 0; request < 20; request++) registry.reportModelUnknown(worker);
    assert.equal(asked.length, 1);
    clock.advance(1000);
    assert.equal(asked.length, 2);
    // One at a time, and what it says counts.
    for (let request = 0; request < 20; request++) registry.reportModelUnknown(worker);
    assert.equal(asked.length, 2);
    await last().answer({ ok: true, models: { ids: ['m'], cards: [] } });
    assert.deepEqual([...worker.models], ['m']);
    clock.advance(2000);
    assert.equal(asked.length, 2);
    registry.reportModelUnknown(worker);
    assert.equal(asked.length, 3);
    await last().answer({ ok: true });
    // The next one is due in its time.
    clock.advance(8900);
    assert.equal(asked.length, 3);
    clock.advance(2200);
    assert.equal(asked.length, 4);
  });

  it('is left to its own time where that is soon, and where the worker is unhealthy', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    await last().answer({ ok: false });
    registry.reportModelUnknown(worker);
    clock.advance(201);
    assert.equal(asked.length, 2);
  });

  it('is shared by the ranks of one server', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    const ranks = [0, 1, 2].map((rank) => registry.add(spec('a', rank)));
    checker.start();
    clock.advance(2);
    assert.equal(asked.length, 1);
    await last().answer({ ok: true });
    assert.deepEqual(
      ranks.map(({ health }) => health.healthy),
      [true, true, true],
    );
    // A rank that joins later is asked for at once.
    const late = registry.add(spec('a', 3));
    clock.advance(2);
    assert.equal(asked.length, 2);
    await last().answer({ ok: true });
    assert.equal(late.health.healthy, true);
  });

  it('ends with the worker', async () => {
    const { clock, registry, checker, asked, last } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    clock.advance(1);
    registry.remove(worker);
    assert.equal(last().signal.aborted, true);
    const again = registry.add(spec('a'));
    await last().answer({ ok: true });
    assert.equal(again.health.healthy, false);
    clock.advance(1);
    assert.equal(asked.length, 2);
    await last().answer({ ok: true });
    assert.equal(again.health.healthy, true);
    registry.remove(again);
    assert.equal(clock.pending, 0);
  });

  it('may find its worker removed by a listener', async () => {
    const { clock, registry, checker, last } = setUp();
    const worker = registry.add(spec('a'));
    registry.on((event) => {
      if (event.type === 'healthy') registry.remove(event.worker);
    });
    checker.start();
    clock.advance(1);
    await last().answer({ ok: true });
    assert.equal(registry.get(worker.id), undefined);
    assert.equal(clock.pending, 0);
  });
});

describe('other times', () => {
  it('are followed at once: nobody waits for a check that the old interval put far off', async () => {
    const { registry, checker, asked, clock, live } = setUp();
    const worker = registry.add(spec('a'));
    checker.start();
    await live(settings.intervalMs, () => true);
    const before = asked.length;
    const times = { startupTimeoutMs: 5000, startupCheckIntervalMs: 1000 };
    checker.reconfigure({ ...times, settings: { ...settings, intervalMs: 100 } });
    const from = clock.now();
    await live(100, () => true);
    assert.ok(asked.length > before, `asked at ${asked.map(({ at }) => at).join(' ')}, changed at ${from}`);
    assert.equal(worker.health.healthy, true);
    checker.stop();
  });

  it('leave a check under way alone and count for the next one', async () => {
    const { registry, checker, asked, clock, last } = setUp();
    registry.add(spec('a'));
    checker.start();
    clock.advance(200);
    const times = { startupTimeoutMs: 5000, startupCheckIntervalMs: 1000 };
    checker.reconfigure({ ...times, settings: { ...settings, intervalMs: 50, timeoutMs: 10 } });
    clock.advance(20);
    assert.equal(last().signal.aborted, false);
    await last().answer({ ok: true });
    clock.advance(55);
    assert.equal(asked.length, 2);
    clock.advance(10);
    assert.equal(last().signal.aborted, true);
    checker.stop();
  });

  it('do not begin checks that were not begun, nor after the end', () => {
    const { registry, checker, asked, clock } = setUp();
    registry.add(spec('a'));
    const times = {
      settings: { ...settings, intervalMs: 1 },
      startupTimeoutMs: 1,
      startupCheckIntervalMs: 1,
    };
    checker.reconfigure(times);
    clock.advance(10_000);
    checker.start();
    checker.stop();
    checker.reconfigure({ ...times, startupCheckIntervalMs: 0.5 });
    clock.advance(10_000);
    assert.equal(asked.length, 0);
  });
});
