import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type StallSettings } from '../config/settings/settings.ts';
import { EXCLUSION_NAMES } from '../routing/policy.ts';
import type { Awaited, InFlight } from './in-flight.ts';
import { LoadLedger } from './ledger.ts';
import { viewPool } from './pool-view.ts';
import { WorkerRegistry } from './registry.ts';
import { StallWatch, type StalledRequest, type StallProbeEnd } from './stall-watch.ts';
import type { Worker } from './worker.ts';

const SETTINGS: StallSettings = { enabled: true, minSilenceMs: 10_000, maxSilenceMs: 100_000 };
const SEC = 1_000;

interface Asked extends StalledRequest {
  readonly worker: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  end(end: StallProbeEnd): void;
}

/** Workers whose answers and probes come when the test says so. */
class Bench {
  readonly clock = new VirtualClock();
  readonly registry = new WorkerRegistry({
    ...{ clock: this.clock, ledger: new LoadLedger(this.clock) },
    ...{ breaker: BREAKER, health: HEALTH, slowStartMs: 30_000 },
  });
  readonly asked: Asked[] = [];
  readonly watch = new StallWatch({
    ...{ registry: this.registry, clock: this.clock, settings: SETTINGS },
    probe: (worker, request, limits) =>
      new Promise((resolve) => this.asked.push({ ...request, ...limits, worker: worker.id, end: resolve })),
  });
  readonly workers: readonly Worker[];

  constructor(workers = 1) {
    this.workers = Array.from({ length: workers }, (_, place) => {
      const id = `http://w${place}`;
      const worker = this.registry.add({
        ...{ baseUrl: id, id, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS },
      });
      this.registry.reportCheck(worker, true);
      return worker;
    });
    this.watch.start();
  }

  get first(): Worker {
    return this.workers[0]!;
  }

  send(more: Partial<Awaited> = {}, worker = this.first): Request {
    const request = new Request(worker, this.clock.now(), more);
    worker.inFlight.add(request);
    return request;
  }

  /** A stream whose first token comes after `ms`: something is learnt. */
  learn(ms = 1 * SEC, worker = this.first): void {
    const request = this.send({}, worker);
    this.clock.advance(ms);
    worker.progress.firstToken(ms);
    request.byte();
    request.end();
    this.clock.advance(1 * SEC);
  }

  async answer(end: StallProbeEnd): Promise<void> {
    const asked = this.asked.shift();
    assert.ok(asked, 'nothing was asked');
    asked.end(end);
    await new Promise((resolve) => setImmediate(resolve));
  }

  get mask(): (string | undefined)[] {
    const options = { tried: new Set<number>(), now: this.clock.now(), slowStartMs: 0 };
    return Array.from(viewPool(this.registry.membersFor(''), options).mask, (one) => EXCLUSION_NAMES[one]);
  }
}

class Request implements InFlight, Awaited {
  place = -1;
  readonly startedAt: number;
  readonly streamed: boolean;
  readonly expectedMs: number;
  readonly route: string;
  readonly model: string;
  paused = false;
  readonly #worker: Worker;

  constructor(worker: Worker, now: number, more: Partial<Awaited>) {
    this.#worker = worker;
    this.startedAt = now;
    this.streamed = more.streamed ?? true;
    this.expectedMs = more.expectedMs ?? 0;
    this.route = more.route ?? '/v1/chat/completions';
    this.model = more.model ?? 'm';
  }

  get awaited(): Awaited | undefined {
    return this.paused ? undefined : this;
  }

  cut(): void {
    assert.fail('requests of a silent worker are not cut');
  }

  byte(): void {
    this.#worker.progress.signs += 1;
  }

  end(): void {
    this.#worker.inFlight.delete(this);
  }

  giveUp(now: number): void {
    this.#worker.progress.gaveUp(this, now);
    this.end();
  }
}

const state = (worker: Worker): string => worker.progress.state;

describe('a worker that sends nothing', () => {
  it('is suspect after four times its longest silence, within the bounds', () => {
    for (const [learntMs, limitMs] of [
      [1 * SEC, 10 * SEC],
      [5 * SEC, 20 * SEC],
      [60 * SEC, 100 * SEC],
    ] as const) {
      const bench = new Bench();
      bench.learn(learntMs);
      bench.send();
      bench.clock.advance(limitMs - 1);
      assert.equal(state(bench.first), 'moving', `${learntMs} too soon`);
      // Silence is measured to the second.
      bench.clock.advance(6 * SEC);
      assert.equal(state(bench.first), 'suspect', `${learntMs} too late`);
    }
  });

  it('has until the upper bound while nothing has been learnt of it', () => {
    const bench = new Bench();
    bench.send();
    bench.clock.advance(100 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.clock.advance(2 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });

  it('nor is anything learnt while it is away', () => {
    const bench = new Bench();
    bench.registry.reportCheck(bench.first, false);
    bench.registry.reportCheck(bench.first, true);
    bench.send();
    bench.clock.advance(100 * SEC);
    assert.equal(state(bench.first), 'moving');
  });

  it('has four times as long as the oldest request was expected to take', () => {
    const bench = new Bench();
    bench.learn();
    bench.send({ expectedMs: 10 * SEC });
    bench.clock.advance(40 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.clock.advance(2 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });

  it('is not suspect for one request while another one gets its answer', () => {
    const bench = new Bench();
    bench.learn();
    bench.send();
    const other = bench.send();
    for (let i = 0; i < 20; i += 1) {
      bench.clock.advance(5 * SEC);
      other.byte();
    }
    assert.equal(state(bench.first), 'moving');
  });

  it('nor while its engine counts tokens, nor while the reader is the one that is slow', () => {
    const bench = new Bench();
    bench.learn();
    const request = bench.send({ streamed: false });
    for (let tokens = 1; tokens < 20; tokens += 1) {
      bench.clock.advance(5 * SEC);
      bench.first.progress.report(100 * tokens, bench.clock.now());
    }
    assert.equal(state(bench.first), 'moving');
    request.end();
    const slow = bench.send();
    slow.paused = true;
    bench.clock.advance(200 * SEC);
    assert.equal(state(bench.first), 'moving');
  });

  it('nor when it has nothing to do', () => {
    const bench = new Bench();
    bench.learn();
    bench.clock.advance(500 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.send();
    bench.clock.advance(9 * SEC);
    assert.equal(state(bench.first), 'moving');
  });

  it('remembers a long silence for an hour at most', () => {
    const bench = new Bench();
    bench.learn(20 * SEC);
    bench.clock.advance(3_600 * SEC);
    bench.learn();
    bench.clock.advance(3_600 * SEC);
    bench.learn();
    bench.send();
    bench.clock.advance(12 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });
});

describe('answers in one piece', () => {
  function whole(tookMs: number): Bench {
    const bench = new Bench();
    bench.learn();
    bench.first.progress.wholeAnswer(tookMs);
    return bench;
  }

  it('alone make a suspect only after four times the longest that was seen, whatever the bounds', () => {
    const bench = whole(60 * SEC);
    bench.send({ streamed: false });
    bench.clock.advance(240 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.clock.advance(2 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });

  it('do not stand for the streams beside them', () => {
    const bench = whole(60 * SEC);
    bench.send({ streamed: false });
    bench.clock.advance(100 * SEC);
    bench.send();
    bench.clock.advance(9 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.clock.advance(3 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });

  it('make one sooner where the engine is seen to count nothing', () => {
    const bench = whole(60 * SEC);
    bench.send({ streamed: false });
    for (let poll = 0; poll < 3; poll += 1) {
      assert.equal(state(bench.first), 'moving');
      bench.first.progress.report(100, bench.clock.now());
      bench.clock.advance(5 * SEC);
    }
    bench.first.progress.report(100, bench.clock.now());
    bench.clock.advance(1 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });

  it('do not where the counters were not read since', () => {
    const bench = whole(60 * SEC);
    bench.first.progress.report(100, bench.clock.now());
    bench.send({ streamed: false });
    bench.clock.advance(100 * SEC);
    assert.equal(state(bench.first), 'moving');
  });
});

describe('clients that give up', () => {
  it('leave the silence behind: the worker is not idle for that', () => {
    const bench = new Bench();
    bench.learn();
    for (let i = 0; i < 4; i += 1) {
      const request = bench.send();
      bench.clock.advance(3 * SEC);
      request.giveUp(bench.clock.now());
    }
    assert.equal(bench.first.inFlight.size, 0);
    assert.equal(state(bench.first), 'suspect');
    assert.deepEqual(bench.asked[0]?.route, '/v1/chat/completions');
  });

  it('do not when something came since, nor when they left at once', () => {
    const bench = new Bench();
    bench.learn();
    const patient = bench.send();
    const impatient = bench.send();
    bench.clock.advance(900);
    impatient.giveUp(bench.clock.now());
    bench.clock.advance(3 * SEC);
    patient.byte();
    patient.end();
    bench.clock.advance(100 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.send().giveUp(bench.clock.now() + 900);
    bench.clock.advance(100 * SEC);
    assert.equal(state(bench.first), 'moving');
  });
});

describe('the probe', () => {
  function suspect(more: Partial<Awaited> = {}): { bench: Bench; request: Request } {
    const bench = new Bench();
    bench.learn();
    const request = bench.send(more);
    bench.clock.advance(12 * SEC);
    assert.equal(state(bench.first), 'suspect');
    return { bench, request };
  }

  it('asks for what the worker is silent on, one at a time', () => {
    const { bench } = suspect({ route: '/v1/messages', model: 'big' });
    const [{ route, model, timeoutMs } = assert.fail()] = bench.asked;
    assert.deepEqual({ route, model, timeoutMs }, { route: '/v1/messages', model: 'big', timeoutMs: 10_000 });
    bench.clock.advance(300 * SEC);
    assert.equal(bench.asked.length, 1);
  });

  it('has three times the usual time to the first token, where that is longer than ten seconds', () => {
    const bench = new Bench();
    for (const tookMs of [1 * SEC, 6 * SEC, 7 * SEC]) bench.first.progress.firstToken(tookMs);
    bench.learn(6 * SEC);
    bench.send();
    bench.clock.advance(30 * SEC);
    assert.equal(bench.asked[0]?.timeoutMs, 18_000);
  });

  it('clears the worker when it is answered, and the silence is known to be nothing by then', async () => {
    const { bench } = suspect();
    await bench.answer('answered');
    assert.equal(state(bench.first), 'moving');
    // Silent for 12 s before: the request has four times as long now.
    bench.clock.advance(40 * SEC);
    assert.equal(state(bench.first), 'moving');
    bench.clock.advance(12 * SEC);
    assert.equal(state(bench.first), 'suspect');
  });

  for (const end of ['silent', 'failed'] as const)
    it(`${end}: the worker has stalled until a later one is answered, with doubling pauses between`, async () => {
      const { bench } = suspect();
      await bench.answer(end);
      assert.equal(state(bench.first), 'stalled');
      for (const pauseMs of [1, 2, 4, 8, 16, 30, 30]) {
        bench.clock.advance(pauseMs * SEC - 1);
        assert.equal(bench.asked.length, 0, `${pauseMs} s`);
        bench.clock.advance(1 * SEC);
        assert.equal(bench.asked.length, 1, `${pauseMs} s`);
        await bench.answer(end);
      }
      bench.clock.advance(31 * SEC);
      await bench.answer('answered');
      assert.equal(state(bench.first), 'moving');
      assert.equal(bench.first.rampStartedAt, bench.clock.now());
    });

  it('that could not be sent says nothing, and is tried again', async () => {
    const { bench } = suspect();
    for (let i = 0; i < 5; i += 1) {
      await bench.answer('unasked');
      assert.equal(state(bench.first), 'suspect');
      bench.clock.advance(1 * SEC);
    }
    await bench.answer('silent');
    assert.equal(state(bench.first), 'stalled');
  });

  it('says nothing where something else came meanwhile', async () => {
    const { bench, request } = suspect();
    const [asked] = bench.asked;
    request.byte();
    bench.clock.advance(1 * SEC);
    assert.equal(state(bench.first), 'moving');
    assert.equal(asked?.signal.aborted, true);
    await bench.answer('silent');
    assert.equal(state(bench.first), 'moving');
  });

  it('is sent at once when a stalled worker is heard of again, and alone readmits it', async () => {
    const { bench, request } = suspect();
    await bench.answer('silent');
    for (let i = 0; i < 5; i += 1) {
      bench.clock.advance(31 * SEC);
      await bench.answer('silent');
    }
    request.byte();
    bench.clock.advance(1 * SEC);
    assert.equal(state(bench.first), 'stalled');
    await bench.answer('answered');
    assert.equal(state(bench.first), 'moving');
  });

  it('ends with the watch, with the worker, and with what explains the silence', async () => {
    for (const [what, end] of [
      ['stopped', (bench: Bench) => bench.watch.stop()],
      ['left', (bench: Bench) => bench.registry.remove(bench.first)],
      ['unhealthy', (bench: Bench) => bench.registry.reportCheck(bench.first, false)],
      ['sleeping', (bench: Bench) => bench.registry.setEngine(bench.first, 'sleeping')],
      ['switched off', (bench: Bench) => bench.watch.reconfigure({ ...SETTINGS, enabled: false })],
    ] as const) {
      const { bench } = suspect();
      const [asked] = bench.asked;
      const worker = bench.first;
      end(bench);
      assert.equal(asked?.signal.aborted, true, what);
      await bench.answer('silent');
      bench.clock.advance(300 * SEC);
      assert.notEqual(state(worker), 'stalled', what);
      assert.equal(bench.asked.length, 0, what);
      if (what !== 'stopped' && what !== 'left') assert.equal(state(worker), 'moving', what);
    }
  });
});

describe('candidates', () => {
  it('are those that are not suspect, then those that have not stalled, then anybody', async () => {
    const bench = new Bench(3);
    const [a, b, c] = bench.workers;
    bench.registry.setProgress(a!, 'suspect');
    bench.registry.setProgress(b!, 'stalled');
    assert.deepEqual(bench.mask, ['suspect', 'stalled', 'eligible']);
    bench.registry.reportCheck(c!, false);
    assert.deepEqual(bench.mask, ['eligible', 'stalled', 'unhealthy']);
    bench.registry.setProgress(a!, 'stalled');
    assert.deepEqual(bench.mask, ['eligible', 'eligible', 'unhealthy']);
  });

  it('are never those that sleep', () => {
    const bench = new Bench(2);
    const [a, b] = bench.workers;
    bench.registry.setEngine(a!, 'sleeping');
    assert.deepEqual(bench.mask, ['sleeping', 'eligible']);
    bench.registry.setEngine(b!, 'paused');
    assert.deepEqual(bench.mask, ['sleeping', 'paused']);
    bench.registry.setEngine(a!, 'running');
    assert.deepEqual(bench.mask, ['eligible', 'paused']);
  });
});
