import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Worker as Thread } from 'node:worker_threads';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { PERMITS, SEEN, type RegistryTask } from '../../test/threads/registry-thread.ts';
import { PortChannels } from '../base/port-channel.ts';
import { systemClock } from '../base/system-clock.ts';
import { SharedMemory } from '../base/thread-memory.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { LoadLedger } from './ledger.ts';
import { openRegistry } from './open-registry.ts';
import type { WorkerRegistry } from './registry.ts';
import type { Worker } from './worker.ts';

const SETTINGS = {
  breaker: {
    ...BREAKER,
    failureThreshold: 6,
    successThreshold: 3,
    openMs: 100,
    windowMs: 60_000,
    halfOpenTrials: 3,
  },
  health: HEALTH,
  slowStartMs: 0,
};

/** Control here, and request threads that are threads. */
class Router {
  readonly channels = new PortChannels();
  readonly registry: WorkerRegistry;
  readonly #memory: SharedMemory;
  readonly #threads = new Map<number, Thread>();

  constructor(t: TestContext, rows: readonly number[]) {
    this.#memory = new SharedMemory(rows.length);
    this.registry = openRegistry(
      { kind: 'control', memory: this.#memory, channels: this.channels },
      { clock: systemClock, ledger: new LoadLedger(systemClock), ...SETTINGS },
    );
    for (const row of rows) this.begin(row);
    t.after(() => Promise.all([...this.#threads.values()].map((thread) => thread.terminate())));
  }

  begin(row: number): void {
    const workerData: RegistryTask = {
      ...{ regions: this.#memory.regions, rows: this.#memory.rows, self: row },
      settings: SETTINGS,
    };
    const thread = new Thread(new URL('../../test/threads/registry-thread.ts', import.meta.url), {
      workerData,
    });
    this.#threads.set(row, thread);
    // Of a port nothing is used but what both have.
    this.channels.add(row, thread);
  }

  async kill(row: number): Promise<void> {
    const thread = this.#threads.get(row);
    assert.ok(thread);
    await thread.terminate();
    this.channels.end(row);
  }

  add(place: number): Worker {
    const id = `http://w${place}`;
    return this.registry.add({
      ...{ baseUrl: id, id, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS },
    });
  }

  async permits(
    row: number,
    about: { readonly take: number; readonly end?: 'success' | 'failure' | 'cancel' },
  ) {
    const channel = this.channels.to(row);
    assert.ok(channel);
    return channel.ask(PERMITS, about);
  }

  /** What they tell has come when they answer. */
  async seen(): Promise<readonly { readonly workers: readonly string[]; readonly state: string }[]> {
    const answers = await this.channels.askAll(SEEN, undefined, 30_000);
    return answers.map(({ answer }) => answer);
  }
}

describe('threads of one router', { timeout: 60_000 }, () => {
  it('know the same workers, whenever they begin', async (t) => {
    const router = new Router(t, [1, 2]);
    const { registry } = router;
    const workers = [0, 1, 2].map((place) => router.add(place));
    const [first] = workers;
    assert.ok(first);
    await router.seen();
    // A storm of changes, in the middle of which one begins anew.
    for (let round = 0; round < 500; round++) {
      for (const worker of workers) {
        registry.reportCheck(worker, round % 2 === 0);
        registry.setModels(worker, new Set([`m${round % 7}`]), []);
      }
      if (round === 250) await router.kill(2);
      if (round === 260) router.begin(2);
      if (round % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    registry.remove(first);
    const known = registry.workers.map(
      ({ id, health, models }) => `${id} ${health.healthy} ${[...models].join()}`,
    );
    assert.equal(known.length, 2);
    assert.deepEqual(await router.seen(), [
      { workers: known, state: 'closed' },
      { workers: known, state: 'closed' },
    ]);
  });

  it('open a circuit together, try together, and have the trials of a dead one back', async (t) => {
    const router = new Router(t, [1, 2]);
    const worker = router.add(0);
    const states: string[] = [];
    router.registry.on((event) => {
      if (event.type === 'breaker') states.push(event.to);
    });
    const state = (): string => worker.breaker.state(systemClock.now());
    assert.deepEqual((await router.seen()).length, 2);
    for (const row of [1, 2]) assert.equal(await router.permits(row, { take: 3, end: 'failure' }), 0);
    assert.equal(worker.breaker.isClosed, false);
    while (state() !== 'half_open') await new Promise((resolve) => setTimeout(resolve, 5));
    const got = await Promise.all([router.permits(1, { take: 2 }), router.permits(2, { take: 100_000 })]);
    assert.equal(got[0] + got[1], 3);
    const [dead, alive] = got[0] > 0 ? [1, 2] : [2, 1];
    await router.kill(dead);
    assert.equal(await router.permits(alive, { take: 1000 }), 3);
    await router.permits(alive, { take: 0, end: 'success' });
    assert.equal(state(), 'closed');
    assert.deepEqual(states, ['open', 'half_open', 'closed']);
    assert.deepEqual((await router.seen()).length, 1);
  });
});
