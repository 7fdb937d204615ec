import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../test/support/registry-settings.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import { LoadLedger } from '../workers/ledger.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import type { ResponseSink } from './client.ts';
import { LoadPoller } from './load-poller.ts';

const INTERVAL_MS = 5000;

/** One worker whose `/metrics` are answered by hand. */
function setUp() {
  const clock = new VirtualClock();
  const ledger = new LoadLedger(clock);
  const registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
  const baseUrl = 'http://a:8000';
  const worker = registry.add({
    baseUrl,
    id: baseUrl,
    rank: undefined,
    apiKey: undefined,
    traits: DEFAULT_TRAITS,
  });
  registry.reportCheck(worker, true);
  const asked: ResponseSink[] = [];
  const poller = new LoadPoller({
    ...{ registry, ledger, clock, intervalMs: INTERVAL_MS, timeoutMs: 1000 },
    clientOf: () => ({
      send: (_request, sink) => {
        asked.push(sink);
        const ignore = (): void => undefined;
        return { pause: ignore, resume: ignore, abort: ignore };
      },
      close: () => undefined,
    }),
  });
  poller.start();
  clock.advance(INTERVAL_MS);
  const answer = (running: number): void => {
    const sink = asked.shift();
    assert.ok(sink, 'nobody asked');
    sink.onHead(200, 'OK', []);
    sink.onData(Buffer.from(`vllm:num_requests_running{engine="0"} ${running}.0\n`));
    sink.onEnd([]);
  };
  return { ledger, slot: worker.slot, answer };
}

/** A fleet whose `/metrics` are answered at once; `asked` are those that were asked, with the time. */
function fleetOf(size: number) {
  const clock = new VirtualClock();
  const ledger = new LoadLedger(clock);
  const registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
  for (let at = 0; at < size; at++) {
    const id = `http://w${at}:8000`;
    const spec = { baseUrl: id, id, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS };
    registry.reportCheck(registry.add(spec), true);
  }
  const asked: { readonly at: number; readonly id: string }[] = [];
  const poller = new LoadPoller({
    ...{ registry, ledger, clock, intervalMs: INTERVAL_MS, timeoutMs: 1000 },
    clientOf: ({ id }) => ({
      send: (_request, sink) => {
        asked.push({ at: clock.now(), id });
        sink.onHead(200, 'OK', []);
        sink.onData(Buffer.from('vllm:num_requests_running{engine="0"} 7.0\n'));
        sink.onData(
          Buffer.from('vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1.0\n'),
        );
        sink.onEnd([]);
        const ignore = (): void => undefined;
        return { pause: ignore, resume: ignore, abort: ignore };
      },
      close: () => undefined,
    }),
  });
  poller.start();
  /** Lets time pass, and whoever waits for it go on. */
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      clock.advance(100);
      await turn();
    }
  };
  return { clock, ledger, registry, asked, pass, poller };
}

describe('a fleet', () => {
  it('of a few is asked in one go, every time, whether there are requests or not', async () => {
    const { asked, pass } = fleetOf(16);
    await pass(4 * INTERVAL_MS);
    assert.deepEqual([asked.length, new Set(asked.map(({ at }) => at)).size], [64, 4]);
  });

  it('of hundreds is asked little by little, everybody once in a period', async () => {
    const { asked, pass, registry } = fleetOf(400);
    const [first] = registry.workers;
    for (let period = 0; period < 4; period++) {
      first!.processed += 1;
      await pass(INTERVAL_MS);
      first!.processed += 1;
    }
    await pass(INTERVAL_MS / 2);
    assert.deepEqual([asked.length, new Set(asked.map(({ id }) => id)).size], [1600, 400]);
    for (const { at } of asked) assert.ok(asked.filter((other) => other.at === at).length <= 16 * 4);
    const rounds = asked.filter(({ id }) => id === first!.id).map(({ at }) => at);
    for (let round = 1; round < rounds.length; round++)
      assert.ok(Math.abs(rounds[round]! - rounds[round - 1]! - INTERVAL_MS) <= 200, String(rounds));
  });

  it('of hundreds is left in peace while there are no requests, and what it said stays true for so long', async () => {
    const { asked, pass, ledger, registry, poller } = fleetOf(400);
    const { slot } = registry.workers[0]!;
    await pass(4 * INTERVAL_MS);
    assert.equal(asked.length, 400);
    assert.equal(ledger.running(slot), 7);
    const lease = ledger.acquire(slot, ASK);
    await pass(2 * INTERVAL_MS);
    assert.ok(asked.length >= 800, String(asked.length));
    lease.release();
    poller.stop();
    const before = asked.length;
    await pass(INTERVAL_MS);
    assert.equal(asked.length, before);
  });
});

describe('a server that becomes healthy', () => {
  it('is asked at once, for all its ranks together, unless nobody is to be asked', async () => {
    const { clock, registry, asked, poller } = fleetOf(0);
    const baseUrl = 'http://a:8000';
    const ranks = [0, 1].map((rank) =>
      registry.add({
        ...{ baseUrl, id: `${baseUrl}@${rank}`, rank, apiKey: undefined, traits: DEFAULT_TRAITS },
      }),
    );
    for (const rank of ranks) registry.reportCheck(rank, true);
    await turn();
    assert.equal(asked.length, 1);
    assert.deepEqual(ranks[0]!.cacheConfig, { blockSize: 16, blocks: 100, prefixCaching: undefined });
    poller.reconfigure({ intervalMs: 0, timeoutMs: 1000 });
    const id = 'http://b:8000';
    const spec = { baseUrl: id, id, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS };
    registry.reportCheck(registry.add(spec), true);
    clock.advance(3_600_000);
    await turn();
    assert.equal(asked.length, 1);
  });
});

const ASK = { prefillTokens: 10, kvTokens: 10, stream: true };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a report that was under way', () => {
  it('makes no load of others out of requests of our own that came and went meanwhile', async () => {
    const { ledger, slot, answer } = setUp();
    const leases = [1, 2, 3].map(() => ledger.acquire(slot, ASK));
    for (const lease of leases) lease.release();
    answer(3);
    await turn();
    assert.equal(ledger.running(slot), 0);
  });

  it('shows what goes beyond them', async () => {
    const { ledger, slot, answer } = setUp();
    const lease = ledger.acquire(slot, ASK);
    answer(5);
    await turn();
    assert.equal(ledger.running(slot), 5);
    lease.release();
    assert.equal(ledger.running(slot), 4);
  });
});
