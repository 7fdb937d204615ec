/** A worker whose events are to be followed and do not come is found out, in one thread and in two. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { adminOf } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';

const TEXT = 'What an engine has computed it tells those who listen. '.repeat(40);

/** A prompt that is new has about thirty blocks. */
let asked = 0;
async function askNew(fleet: Fleet, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const messages = [{ role: 'user', content: `${(asked += 1)} ${TEXT}` }];
    await (await chat(fleet, { messages, max_tokens: 1 })).text();
  }
}

interface SeenWorker {
  readonly kv_events?: { readonly state: string; readonly ranks: readonly { readonly batches: number }[] };
  readonly cache_proof: { readonly verdict: string; readonly finding: string };
}

function batchesOf(events: SeenWorker['kv_events']): number {
  return events?.ranks[0]?.batches ?? 0;
}

class Bench implements AsyncDisposable {
  readonly clock: VirtualClock;
  readonly fleet: Fleet;

  private constructor(clock: VirtualClock, fleet: Fleet) {
    this.clock = clock;
    this.fleet = fleet;
  }

  static async open(
    threads: number,
    worker: SimOptions,
    kvEvents: RouterOptions['kvEvents'] = {},
  ): Promise<Bench> {
    const clock = new VirtualClock();
    const router = { policy: 'kv_aware', threads, kvEvents } as const;
    const onlyRegular = 'prompts are computed by the worker that publishes events';
    return new Bench(clock, await startFleet({ workers: [worker], clock, router, onlyRegular }));
  }

  /** The subscription is so, in real time: it is a matter of another thread. */
  async subscription(state: string): Promise<void> {
    await this.#seen(({ kv_events: events }) => {
      // Where it publishes is asked of the worker in the router's time.
      this.clock.advance(100);
      return events?.state === state;
    });
  }

  /** Has the worker compute what is new, and time go by until it is judged, until this is the verdict. */
  async until(verdict: string, finding: RegExp): Promise<void> {
    await this.#seen(async ({ kv_events: before }) => {
      await askNew(this.fleet, 20);
      // What is published counts for the judgement only when it is heard before.
      if (verdict === 'ok') await this.#seen(({ kv_events: now }) => batchesOf(now) > batchesOf(before));
      this.clock.advance(10_000);
      const { cache_proof: proof } = await this.#look();
      return proof.verdict === verdict && finding.test(proof.finding);
    });
  }

  async #seen(is: (worker: SeenWorker) => boolean | Promise<boolean>): Promise<void> {
    const until = performance.now() + 30_000;
    for (;;) {
      const worker = await this.#look();
      if (await is(worker)) return;
      if (performance.now() > until) assert.fail(JSON.stringify(await this.#look()));
      await pause(20);
    }
  }

  async #look(): Promise<SeenWorker> {
    return (await adminOf(this.fleet)('GET', '/workers')).body.workers[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fleet.stop();
  }
}

for (const threads of [1, 2]) {
  describe(`a router with ${threads} request thread${threads === 1 ? '' : 's'}`, () => {
    it('finds that a worker publishes nothing, where all are to', async () => {
      await using bench = await Bench.open(threads, {}, { enabled: 'on' });
      await bench.until('events_off', /publishes no events/);
    });

    it('finds that events have stopped, and that they come again', async () => {
      await using bench = await Bench.open(threads, { kvEvents: true });
      await bench.subscription('live');
      await bench.until('ok', /cached/);
      const [worker] = bench.fleet.workers;
      await worker?.setFaults(['kv_stop']);
      await bench.subscription('lost');
      await bench.until('events_off', /^its events are lost for \d+ s: /);
      await worker?.setFaults([]);
      await bench.subscription('live');
      await bench.until('ok', /cached/);
    });

    it('finds that a publisher is there, and says nothing of what its engine computes', async () => {
      await using bench = await Bench.open(threads, { kvEvents: true, faults: ['kv_lose'] });
      await bench.subscription('live');
      await bench.until('events_off', /computed about \d+ new blocks, and no event has come$/);
    });
  });
}
