import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../../test/support/registry-settings.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type LmcacheSettings } from '../../config/settings/settings.ts';
import { LoadLedger } from '../../workers/ledger.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { AskController, ControllerAnswer, ControllerCall } from './controller.ts';
import { ControllerPoll, type PollOutcome } from './controller-poll.ts';
import { InstanceMap, type Unmapped } from './instance-map.ts';
import type { LookupOutcome } from './lmcache-events.ts';
import { LmcacheKnowledge } from './lmcache-knowledge.ts';
import { Lookups } from './lookups.ts';

const A = 'http://10.0.0.1:8000';
const B = 'http://10.0.0.2:8000';

const SETTINGS: LmcacheSettings = {
  base: 'http://controller:9000',
  prefix: '',
  authorization: undefined,
  api: 'auto',
  pollIntervalMs: 10_000,
  timeoutMs: 2000,
  lookupTimeoutMs: 200,
  workerMap: new Map(),
  chunkSize: 256,
  worldSize: 1,
  breaker: { ...BREAKER, failureThreshold: 3, openMs: 5000, windowMs: 60_000 },
  forEveryPolicy: true,
};

const never = new AbortController().signal;
const ids = new Uint32Array(1024);
const PROMPT = { ids, model: 'm', salt: '' };

function worker(instance: string, ip: string, keys: number) {
  return { instance_id: instance, worker_id: 0, ip, port: 8500, key_count: keys };
}

const TWO = { workers: [worker('a', '10.0.0.1', 30), worker('b', '10.0.0.2', 10)], total_count: 2 };

/** A controller whose answers are set by hand: a value is JSON with 200, a number a status, a string the code of a failure. */
class Scripted {
  readonly clock = new VirtualClock();
  readonly registry: WorkerRegistry;
  readonly knowledge: LmcacheKnowledge;
  readonly calls: string[] = [];
  readonly answers: Record<string, unknown> = { '/controller/workers': TWO, '/lookup': { layout_info: {} } };
  readonly outcomes: LookupOutcome[] = [];
  readonly polls: PollOutcome[] = [];
  unread = 0;
  unmapped: ReadonlyMap<string, Unmapped> = new Map();
  readonly #poll: ControllerPoll;

  constructor(
    settings: Partial<LmcacheSettings> = {},
    urls: readonly string[] = [A, B],
    answers: Readonly<Record<string, unknown>> = {},
  ) {
    const { clock } = this;
    Object.assign(this.answers, answers);
    const all = { ...SETTINGS, ...settings };
    const ledger = new LoadLedger(clock);
    this.registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
    for (const url of urls) this.join(url);
    const ask: AskController = (call) => Promise.resolve(this.#answer(call));
    this.#poll = new ControllerPoll(
      { api: all.api, intervalMs: all.pollIntervalMs, timeoutMs: all.timeoutMs },
      { clock, ask, onPolled: (outcome) => this.polls.push(outcome) },
    );
    this.knowledge = new LmcacheKnowledge(all, {
      ...{ clock, roster: this.registry, states: this.#poll },
      lookups: new Lookups(
        { timeoutMs: all.lookupTimeoutMs, breaker: all.breaker },
        { clock, ask, onBreaker: () => undefined },
      ),
      events: {
        looked: (outcome) => this.outcomes.push(outcome),
        unread: (entries) => (this.unread += entries),
        breaker: () => undefined,
        polled: () => undefined,
        mapped: (unmapped) => (this.unmapped = unmapped),
      },
    });
  }

  join(url: string, labels: Readonly<Record<string, string>> = {}): void {
    const rank = /@(\d+)$/.exec(url)?.[1];
    const traits = { ...DEFAULT_TRAITS, labels };
    const baseUrl = url.replace(/@\d+$/, '');
    this.registry.add({
      baseUrl,
      rank: rank === undefined ? undefined : Number(rank),
      id: url,
      apiKey: undefined,
      traits,
    });
  }

  slotOf(url: string): number {
    return this.registry.get(url)?.slot ?? -1;
  }

  /** Lets promises that are settled go on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.settle();
  }

  chunks(): Record<string, number> | undefined {
    const chunks = this.knowledge.chunks();
    return (
      chunks && Object.fromEntries(this.registry.workers.map(({ id, slot }) => [id, chunks.get(slot) ?? 0]))
    );
  }

  /** Tokens by worker. */
  async find(layout: unknown, prompt = PROMPT): Promise<Record<string, number> | undefined> {
    this.answers['/lookup'] =
      typeof layout === 'object' ? { event_id: 'Lookup1', layout_info: layout } : layout;
    const holdings = await this.knowledge.find(prompt, never);
    if (!holdings) return undefined;
    return Object.fromEntries(
      holdings.held.map(({ slot, tokens }) => [
        this.registry.workers.find((one) => one.slot === slot)?.id ?? '',
        tokens,
      ]),
    );
  }

  #answer({ method, path }: ControllerCall): ControllerAnswer {
    this.calls.push(`${method} ${path}`);
    const answer = this.answers[path] ?? 404;
    if (typeof answer === 'string') return { kind: 'failed', code: answer, message: answer };
    if (typeof answer === 'number')
      return { kind: 'response', status: answer, body: Buffer.from('{"detail":"no"}') };
    return { kind: 'response', status: 200, body: Buffer.from(JSON.stringify(answer)) };
  }
}

describe("what LMCache's controller lists", () => {
  it('is who stores how much, by the host of the worker, and asked for again in its period', async () => {
    const at = new Scripted();
    await at.settle();
    assert.deepEqual(at.chunks(), { [A]: 30, [B]: 10 });
    at.answers['/controller/workers'] = { workers: [worker('b', '10.0.0.2', 50)] };
    await at.pass(10_000);
    assert.deepEqual(at.chunks(), { [A]: 0, [B]: 50 });
    assert.deepEqual(at.calls, ['GET /controller/workers', 'GET /controller/workers']);
  });

  it('is not known while the controller is down, from the start or later, nor when it is too old', async () => {
    const at = new Scripted({}, [A, B], { '/controller/workers': 'connect_failed' });
    await at.settle();
    assert.equal(at.chunks(), undefined);
    at.answers['/controller/workers'] = TWO;
    await at.pass(10_000);
    assert.deepEqual(at.chunks(), { [A]: 30, [B]: 10 });
    at.answers['/controller/workers'] = 'timeout';
    await at.pass(10_000);
    assert.equal(at.chunks(), undefined);
    assert.deepEqual(at.polls, ['error', 'listed', 'timeout']);
    at.answers['/controller/workers'] = TWO;
    await at.pass(10_000);
    // It answers, but wrongly: what it said before counts for a while.
    at.answers['/controller/workers'] = 500;
    await at.pass(20_000);
    assert.deepEqual(at.chunks(), { [A]: 30, [B]: 10 });
    await at.pass(20_000);
    assert.equal(at.chunks(), undefined);
  });

  it('tells a coordinator from a controller, and a controller without a list from both', async () => {
    const coordinator = new Scripted({}, [A, B], {
      '/controller/workers': 404,
      '/instances': { instances: [{ instance_id: 'x', ip: '10.0.0.2', http_port: 8080 }] },
      '/directory/stats': { l1_keys_by_instance: { x: 9 } },
      '/directory/lookup': { results: [{ placements: [{ instance_id: 'x', tier: 'l1' }] }] },
    });
    await coordinator.settle();
    assert.deepEqual(coordinator.chunks(), { [A]: 0, [B]: 9 });
    assert.deepEqual(await coordinator.find({}), { [B]: 256 });
    assert.equal(coordinator.calls.at(-1), 'POST /directory/lookup');
    await coordinator.pass(10_000);
    assert.equal(coordinator.calls.filter((call) => call.endsWith('/controller/workers')).length, 1);

    const old = new Scripted({ workerMap: new Map([['a', A]]) }, [A, B], { '/controller/workers': 404 });
    await old.settle();
    assert.equal(old.chunks(), undefined);
    assert.deepEqual(old.polls, ['unlisted']);
    assert.deepEqual(await old.find({ a: ['LocalCPUBackend', 512] }), { [A]: 512 });
  });

  it('is asked for only while somebody needs it', async () => {
    const at = new Scripted({ forEveryPolicy: false });
    await at.pass(60_000);
    assert.deepEqual(at.calls, []);
    at.knowledge.wantedByPolicy = true;
    await at.settle();
    assert.equal(at.calls.length, 1);
    at.knowledge.wantedByPolicy = false;
    assert.equal(at.chunks(), undefined);
    assert.equal(at.clock.pending, 0);
  });
});

describe('where a prompt is stored', () => {
  it('is said of workers, and never of the last token, which is always computed', async () => {
    const at = new Scripted();
    await at.settle();
    const layout = { a: ['LocalCPUBackend', 512], b: ['LocalCPUBackend', 1024] };
    assert.deepEqual(await at.find(layout), { [A]: 512, [B]: 1023 });
    assert.deepEqual(await at.find({}), {});
    assert.deepEqual(await at.find({ a: ['LocalCPUBackend', -1], b: ['LocalCPUBackend', 4096] }), {});
    assert.equal(at.unread, 2);
    assert.deepEqual(at.outcomes, ['hit', 'miss', 'miss']);
  });

  it('is not asked for a prompt without a whole chunk, nor of a controller that has not answered yet', async () => {
    const at = new Scripted();
    assert.equal(await at.find({}), undefined);
    await at.settle();
    assert.equal(await at.find({}, { ...PROMPT, ids: ids.subarray(0, 255) }), undefined);
    assert.deepEqual(at.outcomes, ['unavailable', 'short']);
    assert.ok(!at.calls.includes('POST /lookup'));
  });

  it('is not asked for where no listed instance is a worker, until one is', async () => {
    const list = { '/controller/workers': { workers: [worker('a', '10.0.0.1', 9)] } };
    const at = new Scripted({}, [A, 'http://10.0.0.1:8001'], list);
    await at.settle();
    assert.equal(await at.find({ a: ['LocalCPUBackend', 512] }), undefined);
    assert.deepEqual(at.outcomes, ['nobody']);
    assert.ok(!at.calls.some((call) => call.includes('/lookup')), at.calls.join());
    at.registry.remove(at.registry.get('http://10.0.0.1:8001')!);
    assert.deepEqual(await at.find({ a: ['LocalCPUBackend', 512] }), { [A]: 512 });
    assert.deepEqual(at.outcomes, ['nobody', 'hit']);
  });

  it('is forgotten of a worker that leaves, whoever has its slot then', async () => {
    const at = new Scripted();
    await at.settle();
    at.answers['/lookup'] = { layout_info: { a: ['LocalCPUBackend', 512] } };
    const holdings = await at.knowledge.find(PROMPT, never);
    assert.deepEqual(
      holdings?.held,
      [{ slot: at.slotOf(A), generation: 0, tier: 'cpu', tokens: 512 }].map((held) => ({
        ...held,
        generation: at.registry.get(A)?.generation,
      })),
    );
    const gone = at.registry.get(A);
    assert.ok(gone);
    at.registry.remove(gone);
    assert.deepEqual(holdings.held, []);
    at.join('http://10.0.0.9:8000');
    assert.deepEqual(holdings.held, []);
  });

  it('has the list read again for an instance that nobody knows, and not for each of them', async () => {
    const at = new Scripted();
    await at.settle();
    await at.pass(3000);
    assert.deepEqual(await at.find({ new: ['LocalCPUBackend', 512] }), {});
    at.answers['/controller/workers'] = { workers: [worker('new', '10.0.0.2', 1)] };
    for (let i = 0; i < 5; i++) await at.find({ other: ['LocalCPUBackend', 512] });
    await at.settle();
    assert.equal(at.calls.filter((call) => call.startsWith('GET')).length, 2);
    await at.pass(3000);
    await at.find({ new: ['LocalCPUBackend', 512] });
    await at.settle();
    assert.deepEqual(await at.find({ new: ['LocalCPUBackend', 512] }), { [B]: 512 });
    assert.equal(at.outcomes[0], 'unmapped');
  });

  it('is not asked of a controller that failed too often, until one look-up comes through again', async () => {
    const at = new Scripted();
    await at.settle();
    for (const answer of ['timeout', 500, 'worker_bad_response'])
      assert.equal(await at.find(answer), undefined);
    assert.equal(await at.find({}), undefined);
    assert.deepEqual(at.outcomes, ['timeout', 'error', 'error', 'circuit_open']);
    await at.pass(5000);
    assert.equal(await at.find('timeout'), undefined);
    assert.equal(await at.find({}), undefined);
    await at.pass(5000);
    assert.deepEqual(await at.find({ a: ['LocalCPUBackend', 256] }), { [A]: 256 });
    assert.deepEqual(at.outcomes.slice(4), ['timeout', 'circuit_open', 'hit']);
  });

  it('is read in pieces where the answer is long, and only for as long as a request waits', async () => {
    const placements = [{ instance_id: 'a', tier: 'l1' }];
    const results = Array.from({ length: 4 }, () => ({ placements, hash: 'x'.repeat(60_000) }));
    const at = new Scripted(
      { api: 'coordinator', breaker: { ...SETTINGS.breaker, failureThreshold: 1 } },
      [A],
      {
        '/instances': { instances: [{ instance_id: 'a', ip: '10.0.0.1' }] },
        '/directory/lookup': { results },
      },
    );
    await at.settle();
    const late = at.knowledge.find(PROMPT, never);
    at.clock.advance(201);
    assert.equal(await late, undefined);
    const held = (await at.knowledge.find(PROMPT, never))?.held ?? [];
    assert.deepEqual(
      held.map(({ slot, tokens }) => [slot, tokens]),
      [[at.slotOf(A), 1023]],
    );
    // It was not the controller that was late.
    assert.deepEqual(at.outcomes, ['timeout', 'hit']);
  });

  it('does not blame the controller for a prompt that it refuses, nor for what the router lacks', async () => {
    const at = new Scripted();
    await at.settle();
    for (const answer of [422, 400, 'out_of_sockets', 'too_large', 'aborted', 422, 422])
      await at.find(answer);
    assert.deepEqual(await at.find({}), {});
    assert.deepEqual(at.outcomes, ['error', 'error', 'error', 'too_large', 'error', 'error', 'miss']);
  });

  it('is looked up for all policies that look at caches where the controller is configured, else for those made for it', () => {
    const [everybody, some] = [true, false].map(
      (forEveryPolicy) => new Scripted({ forEveryPolicy }).knowledge,
    );
    const needs = [
      { cache: true, lmcache: 'if_configured' },
      { cache: true },
      { cache: false, lmcache: 'prompts' },
      { cache: false, lmcache: 'occupancy' },
    ] as const;
    assert.deepEqual(
      needs.map((need) => everybody?.concerns(need)),
      [true, false, true, false],
    );
    assert.deepEqual(
      needs.map((need) => some?.concerns(need)),
      [false, false, true, false],
    );
  });
});

describe('whose an instance is', () => {
  const listing = (...workers: readonly unknown[]) => ({ '/controller/workers': { workers } });

  it("is what the configuration says before a worker's labels, and these before its host", async () => {
    const list = listing(
      ...[worker('a', '10.0.0.1', 1), worker('b', '10.0.0.1', 2)],
      ...[worker('c', 'elsewhere', 3), worker('d', 'pod', 4)],
    );
    const at = new Scripted({ workerMap: new Map([['a', B]]) }, [A, B], list);
    at.join('http://10.0.0.3:8000', { lmcache_instance_id: 'c' });
    at.join('http://10.0.0.4:8000', { pod_name: 'd' });
    await at.settle();
    const chunks = { [A]: 2, [B]: 1, 'http://10.0.0.3:8000': 3, 'http://10.0.0.4:8000': 4 };
    assert.deepEqual(at.chunks(), chunks);
    assert.equal(at.unmapped.size, 0);
  });

  it('is all ranks of a server, or the one that is named', async () => {
    const list = listing(worker('a', '10.0.0.1', 5), worker('x', '10.0.0.7', 9));
    const at = new Scripted({ workerMap: new Map([['x', `${A}@1`]]) }, [`${A}@0`, `${A}@1`], list);
    await at.settle();
    assert.deepEqual(at.chunks(), { [`${A}@0`]: 5, [`${A}@1`]: 9 });
  });

  it('is nobody where a host has several servers or several instances, or where none fits', async () => {
    const list = listing(
      ...[worker('a', '10.0.0.1', 1), worker('b', '10.0.0.2', 1), worker('b2', '10.0.0.2', 1)],
      ...[worker('v6', 'FD00::1', 7), worker('nobody', '10.9.9.9', 1)],
    );
    const urls = [A, 'http://10.0.0.1:8001', B, 'http://[fd00::1]:8000', 'unix:///run/w.sock'];
    const at = new Scripted({}, urls, list);
    await at.settle();
    assert.deepEqual(Object.values(at.chunks() ?? {}), [0, 0, 0, 7, 0]);
    assert.deepEqual(
      [...at.unmapped],
      [
        ['a', 'ambiguous'],
        ['b', 'ambiguous'],
        ['b2', 'ambiguous'],
        ['nobody', 'unmapped'],
      ],
    );
    assert.deepEqual(at.knowledge.instances, { mapped: 1, unmapped: 1, ambiguous: 3 });
  });

  it('is found soon also where a host is spelt in tens of thousands of ways', () => {
    const spelt = (way: number): string =>
      'an-old-host-of-a-fleet'.replaceAll(/./g, (c, at: number) => ((way >> at) & 1 ? c.toUpperCase() : c));
    const hosts = Array.from({ length: 40_000 }, (_, way) => spelt(way));
    const from = performance.now();
    const map = new InstanceMap({
      ...{ instances: [{ id: 'a', hosts, chunks: 1 }], workers: [] },
      ...{ configured: new Map<string, string>(), api: 'controller' },
    });
    assert.deepEqual([...map.unmapped], [['a', 'unmapped']]);
    // Each spelling against each other takes ten seconds.
    assert.ok(performance.now() - from < 1_000);
  });

  it('is every server of a host where one cache serves the whole host', async () => {
    const at = new Scripted({ api: 'coordinator' }, [A, 'http://10.0.0.1:8001'], {
      '/instances': { instances: [{ instance_id: 'mp', ip: '10.0.0.1' }] },
      '/directory/stats': { l1_keys_by_instance: { mp: 4 } },
    });
    await at.settle();
    assert.deepEqual(Object.values(at.chunks() ?? {}), [4, 4]);
  });
});
