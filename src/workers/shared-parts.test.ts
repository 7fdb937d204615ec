import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { RouterThreads } from '../../test/support/router-threads.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type StallSettings } from '../config/settings/settings.ts';
import { Drain } from './drain.ts';
import type { Awaited, InFlight } from './in-flight.ts';
import { LoadLedger } from './ledger.ts';
import { openRegistry } from './open-registry.ts';
import { FIRST_TOKENS } from './progress.ts';
import type { RegistryReplica } from './registry-replica.ts';
import { StallWatch, type StallProbeEnd } from './stall-watch.ts';
import { OwnTally } from './shared-slots.ts';
import { ThreadProgress } from './thread-progress.ts';
import type { Worker } from './worker.ts';

const SEC = 1_000;
const STALL: StallSettings = { enabled: true, minSilenceMs: 10 * SEC, maxSilenceMs: 100 * SEC };

/** A request of one thread. */
class Request implements InFlight, Awaited {
  place = -1;
  isCut = false;
  readonly startedAt: number;
  readonly streamed: boolean;
  readonly expectedMs = 0;
  readonly route = '/v1/chat/completions';
  readonly model = 'm';
  readonly #worker: Worker;

  constructor(worker: Worker, now: number, streamed = true) {
    this.#worker = worker;
    this.startedAt = now;
    this.streamed = streamed;
    worker.processed += 1;
    worker.inFlight.add(this);
  }

  get awaited(): Awaited {
    return this;
  }

  cut(): void {
    this.isCut = true;
    this.end();
  }

  byte(): void {
    this.#worker.progress.signs += 1;
  }

  end(): void {
    this.#worker.inFlight.delete(this);
  }
}

/** Two request threads, one worker, and control, which watches it. */
class Bench {
  readonly clock = new VirtualClock();
  readonly threads = new RouterThreads(2);
  readonly ledger = new LoadLedger(this.clock);
  readonly registry = openRegistry(this.threads.control, {
    ...{ clock: this.clock, ledger: this.ledger },
    ...{ breaker: BREAKER, health: HEALTH, slowStartMs: 0 },
  });
  readonly replicas: RegistryReplica[] = [];
  readonly worker: Worker;
  readonly probes: ((end: StallProbeEnd) => void)[] = [];
  readonly watch = new StallWatch({
    ...{ registry: this.registry, clock: this.clock, settings: STALL },
    probe: () =>
      new Promise((resolve) => {
        this.probes.push(resolve);
      }),
  });

  private constructor() {
    this.clock.advance(1);
    this.worker = this.registry.add({
      ...{ baseUrl: 'http://w', id: 'http://w', rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS },
    });
    this.registry.reportCheck(this.worker, true);
    this.watch.start();
  }

  static async start(): Promise<Bench> {
    const bench = new Bench();
    for (const row of [1, 2]) await bench.begin(row);
    return bench;
  }

  async begin(row: number): Promise<void> {
    const replica = openRegistry(this.threads.begin(row), {
      ...{ clock: this.clock, ledger: new LoadLedger(this.clock) },
      ...{ breaker: BREAKER, health: HEALTH, slowStartMs: 0 },
    });
    this.replicas[row] = replica;
    const start = replica.start();
    await this.threads.settle();
    await start;
  }

  /** The worker as that thread has it. */
  in(row: number): Worker {
    const worker = this.replicas[row]?.at(this.worker);
    assert.ok(worker);
    return worker;
  }

  send(row: number, streamed?: boolean): Request {
    return new Request(this.in(row), this.clock.now(), streamed);
  }

  /** Second by second, as messages take no time. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += SEC) {
      this.clock.advance(SEC);
      await this.threads.settle();
    }
  }

  /** Some answers after a second each, so that a silence of ten is out of the ordinary. */
  async learn(): Promise<void> {
    for (const row of [1, 2]) {
      const request = this.send(row);
      await this.pass(SEC);
      this.in(row).progress.firstToken(SEC);
      request.byte();
      request.end();
      await this.pass(SEC);
    }
  }

  get states(): string[] {
    return [this.worker, this.in(1), this.in(2)].map(({ progress }) => progress.state);
  }
}

describe('the progress of a worker that several threads ask', () => {
  it('is suspect in all of them when each has one request that nothing comes for, and stalled after a probe', async () => {
    const bench = await Bench.start();
    await bench.learn();
    bench.send(1);
    await bench.pass(5 * SEC);
    bench.send(2);
    await bench.pass(5 * SEC);
    assert.deepEqual(bench.states, ['moving', 'moving', 'moving']);
    await bench.pass(2 * SEC);
    assert.deepEqual([bench.states, bench.probes.length], [['suspect', 'suspect', 'suspect'], 1]);
    assert.ok(bench.worker.progress.silentMs(bench.clock.now()) >= 10 * SEC);
    bench.probes.shift()?.('silent');
    await bench.threads.settle();
    assert.deepEqual(bench.states, ['stalled', 'stalled', 'stalled']);
  });

  it('is a matter of signs in any thread', async () => {
    const bench = await Bench.start();
    await bench.learn();
    bench.send(1);
    const moving = bench.send(2);
    for (let i = 0; i < 30; i++) {
      moving.byte();
      await bench.pass(SEC);
    }
    assert.deepEqual(bench.states, ['moving', 'moving', 'moving']);
    await bench.pass(12 * SEC);
    assert.equal(bench.worker.progress.state, 'suspect');
    // Beside the probe.
    moving.byte();
    bench.probes.shift()?.('silent');
    await bench.threads.settle();
    assert.equal(bench.worker.progress.state, 'suspect');
    await bench.pass(SEC);
    assert.deepEqual(bench.states, ['moving', 'moving', 'moving']);
  });

  it('is not held against the worker when the awaited requests have ended', async () => {
    const bench = await Bench.start();
    await bench.learn();
    const request = bench.send(1);
    await bench.pass(10 * SEC);
    // Before the next look, and before its thread says so.
    request.end();
    await bench.pass(20 * SEC);
    assert.deepEqual(bench.states, ['moving', 'moving', 'moving']);
  });

  it('is told by those who gave up waiting', async () => {
    const bench = await Bench.start();
    await bench.learn();
    const request = bench.send(2);
    await bench.pass(5 * SEC);
    bench.in(2).progress.gaveUp(request, bench.clock.now());
    request.end();
    await bench.pass(8 * SEC);
    assert.equal(bench.worker.progress.state, 'suspect');
  });

  it('is learnt from the answers of all of them', async () => {
    const bench = await Bench.start();
    for (const [row, ms] of [
      [1, 100],
      [2, 300],
      [2, 200],
    ] as const)
      bench.in(row).progress.firstToken(ms);
    await bench.pass(SEC);
    assert.equal(bench.worker.progress.medianFirstTokenMs, 200);
    for (let i = 0; i < 1000; i++) bench.in(1).progress.firstToken(i);
    await bench.pass(SEC);
    assert.ok(bench.worker.progress.medianFirstTokenMs > 900);
  });

  it('lets a whole answer take four times as long as the longest of any thread', async () => {
    const bench = await Bench.start();
    bench.in(2).progress.wholeAnswer(10 * SEC);
    bench.in(1).progress.signs += 1;
    await bench.pass(2 * SEC);
    bench.send(1, false);
    await bench.pass(38 * SEC);
    assert.equal(bench.worker.progress.state, 'moving');
    await bench.pass(5 * SEC);
    assert.equal(bench.worker.progress.state, 'suspect');
  });
});

describe('what a thread has to say of a progress', () => {
  it('is said once, and is no more than matters', () => {
    const progress = new ThreadProgress(new OwnTally(), () => undefined);
    assert.equal(progress.news([]), undefined);
    for (let ms = 0; ms < 1000; ms++) progress.firstToken(ms);
    progress.wholeAnswer(7);
    progress.wholeAnswer(5);
    const news = progress.news([]);
    assert.equal(news?.longestWholeMs, 7);
    assert.equal(news.firstTokensMs.length, FIRST_TOKENS);
    assert.ok(news.firstTokensMs.every((ms) => ms >= 1000 - FIRST_TOKENS));
    assert.equal(progress.news([]), undefined);
    progress.firstToken(3);
    assert.deepEqual(progress.news([])?.firstTokensMs, [3]);
  });

  it('is who is awaited longest, and that nobody is any more', () => {
    const progress = new ThreadProgress(new OwnTally(), () => undefined);
    const awaited = (startedAt: number, streamed: boolean): InFlight => ({
      ...{ cut: () => undefined, place: -1 },
      awaited: { startedAt, streamed, expectedMs: 0, route: '/r', model: 'm' },
    });
    const running = [awaited(3, true), awaited(2, true), awaited(1, false), awaited(4, false)];
    const news = progress.news(running);
    assert.deepEqual([news?.stream?.startedAt, news?.whole?.startedAt], [2, 1]);
    assert.equal(progress.news(running), undefined);
    assert.deepEqual(progress.news(running.slice(0, 1))?.whole, undefined);
    assert.equal(progress.news([])?.stream, undefined);
    assert.equal(progress.news([]), undefined);
  });

  it('is at once that somebody gave up, unless that one has hardly waited', () => {
    const told: [number, number][] = [];
    const progress = new ThreadProgress(
      new OwnTally(),
      ({ startedAt }, now) => void told.push([startedAt, now]),
    );
    const request = { startedAt: 100, streamed: true, expectedMs: 0, route: '/r', model: 'm' };
    progress.gaveUp(request, 500);
    progress.gaveUp(request, 1100);
    assert.deepEqual(told, [[100, 1100]]);
  });
});

describe('what is under way on a worker in several threads', () => {
  it('is counted by control, and what was sent', async () => {
    const bench = await Bench.start();
    const [one] = [bench.send(1), bench.send(2), bench.send(2)];
    assert.deepEqual([bench.worker.inFlight.size, bench.worker.processed], [3, 3]);
    one.end();
    assert.deepEqual([bench.worker.inFlight.size, bench.worker.processed], [2, 3]);
    assert.deepEqual([bench.in(1).inFlight.size, bench.in(1).processed, bench.in(2).processed], [0, 1, 2]);
  });

  it('is cut in all threads when the time of a drain is up', async () => {
    const bench = await Bench.start();
    const leases = [bench.ledger.acquire(bench.worker.slot, { prefillTokens: 0, kvTokens: 0, stream: true })];
    const requests = [bench.send(1), bench.send(2), bench.send(2)];
    const drain = new Drain(bench.worker, { clock: bench.clock, ledger: bench.ledger, timeoutMs: 5 * SEC });
    await bench.threads.settle();
    assert.deepEqual([bench.in(1).draining, bench.in(2).draining], [true, true]);
    await bench.pass(5 * SEC);
    assert.deepEqual([await drain.ended, drain.cut], ['forced', 3]);
    assert.deepEqual(
      requests.map(({ isCut }) => isCut),
      [true, true, true],
    );
    for (const lease of leases) lease.release();
    assert.equal(bench.worker.inFlight.size, 0);
  });

  it('ends with its thread', async () => {
    const bench = await Bench.start();
    await bench.learn();
    bench.send(1);
    const other = bench.send(2);
    await bench.pass(SEC);
    bench.threads.end(1);
    assert.deepEqual([bench.worker.inFlight.size, bench.worker.processed], [1, 4]);
    await bench.begin(1);
    const again = bench.send(1);
    assert.deepEqual([bench.worker.inFlight.size, bench.worker.processed], [2, 5]);
    for (const request of [again, other]) request.end();
    await bench.pass(30 * SEC);
    assert.equal(bench.worker.progress.state, 'moving');
  });

  it('gives a trial of a thread that died to another', async () => {
    const bench = await Bench.start();
    const now = (): number => bench.clock.now();
    for (let i = 0; i < BREAKER.failureThreshold; i++)
      bench
        .in(1 + (i % 2))
        .breaker.permit(now())
        .failure();
    await bench.threads.settle();
    assert.equal(bench.in(2).breaker.state(now()), 'open');
    await bench.pass(BREAKER.openMs);
    bench.in(1).breaker.permit(now());
    assert.equal(bench.in(2).breaker.admits(now()), false);
    bench.threads.end(1);
    assert.equal(bench.in(2).breaker.admits(now()), true);
    for (let i = 0; i < BREAKER.successThreshold; i++) bench.in(2).breaker.permit(now()).success();
    await bench.threads.settle();
    assert.equal(bench.worker.breaker.state(now()), 'closed');
  });
});
