import { DEFAULT_TRAITS, type WorkerRole } from '../../config/settings/settings.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';
import { ModelledController } from './modelled-controller.ts';
import { ActiveBlocks } from './active-blocks.ts';
import { FollowedCaches } from './followed-caches.ts';
import { heldView } from './held-view.ts';
import { EngineSnapshots, type EngineAccess } from './engine-snapshots.ts';
import { seededRandom, type Random } from '../../base/random.ts';
import type { VirtualClock } from '../../base/virtual-clock.ts';
import { KnownCaches, type KnownOptions } from '../../cache-knowledge/known-caches.ts';
import { ReplicaExchange } from '../../shared-state/replica-exchange.ts';
import { ORIGIN_BYTES } from '../../shared-state/replica-message.ts';
import type { SimBus } from './sim-bus.ts';
import { noCache, PredictedIndex } from '../../cache-knowledge/predicted-index.ts';
import { waitsOf } from '../../request/choose/policy-caches.ts';
import type { Ask, CacheView, Policy, PolicyEvent } from '../../routing/policy.ts';
import { LoadLedger, type Lease } from '../../workers/ledger.ts';
import type { Stage } from '../../workers/model-pools.ts';
import { viewPool, type PoolView } from '../../workers/pool-view.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import type { TraceRequest } from '../traces/trace.ts';
import { chosenOf, type ChosenWorker } from './chosen-worker.ts';
import type { FleetPlan, PolicyFactory } from './fleet-plan.ts';
import { SimStages, type ChosenPair, type StagePools } from './sim-stages.ts';
import { TraceAsk } from './trace-ask.ts';

const BREAKER = {
  enabled: true,
  failureThreshold: 10,
  successThreshold: 3,
  openMs: 60_000,
  windowMs: 120_000,
  halfOpenTrials: 1,
};
const HEALTH = {
  path: '/health',
  intervalMs: 60_000,
  timeoutMs: 5_000,
  failureThreshold: 3,
  successThreshold: 2,
};
/** 64 bytes of index per block and worker are plenty: the plan's bound on blocks is what counts. */
const INDEX_BYTES_PER_BLOCK = 64;

/** Where a request went, and the books that are open for it. */
export interface Dispatch {
  readonly ask: Ask;
  /** Who answers. */
  readonly worker: Worker;
  readonly lease: Lease;
  readonly uncachedTokens: number;
  /** NaN where the policy did not look. */
  readonly predictedTokens: number;
  readonly sentAt: number;
  /** Who computes the prompt, where that is another one. */
  readonly prefill: PrefillDispatch | undefined;
}

export interface PrefillDispatch {
  readonly worker: Worker;
  readonly lease: Lease;
  readonly uncachedTokens: number;
  /** Tokens that the worker which answers is not expected to have. */
  readonly missingTokens: number;
  /** When it had answered, ms; NaN before. */
  answeredAt: number;
}

/** One router of a simulated fleet: the server's own registry, ledger, index and policy, on the simulation's clock. */
export class SimRouter {
  readonly registry: WorkerRegistry;
  readonly ledger: LoadLedger;
  readonly policy: Policy;
  readonly #clock: VirtualClock;
  readonly #plan: FleetPlan;
  readonly #engines: EngineAccess;
  readonly #index: PredictedIndex | undefined;
  readonly #followed: FollowedCaches | undefined;
  /** For policies that go by what LMCache stores. */
  readonly #lmcache: ModelledController | undefined;
  /** Whether a policy goes by where each prompt is stored, where that is known. */
  readonly #looksUp: boolean;
  /** Ids by slot, of present workers. */
  readonly #ids: (string | undefined)[] = [];
  /** Kept for policies that ask for it. */
  #activeBlocks: ActiveBlocks | undefined;
  readonly #toldFirstToken: ((ask: Ask, slot: number, ttftMs: number) => void)[] = [];
  /** Where requests are split. */
  readonly #stages: SimStages | undefined;
  /** Where it shares what it knows with the others. */
  readonly #exchange: ReplicaExchange | undefined;

  /** `bus`: what lies between it and the other routers, where they share what they know. */
  constructor(plan: FleetPlan, clock: VirtualClock, engines: EngineAccess, seed: number, bus?: SimBus) {
    this.#plan = plan;
    this.#clock = clock;
    this.#engines = engines;
    this.ledger = new LoadLedger(clock);
    if (plan.pollIntervalMs > 0) this.ledger.setExternalTtl(3 * plan.pollIntervalMs);
    this.registry = new WorkerRegistry({
      clock,
      ledger: this.ledger,
      breaker: BREAKER,
      health: HEALTH,
      slowStartMs: plan.slowStartMs,
    });
    const known = plan.cache;
    this.#index = this.#openIndex();
    this.#exchange = bus && this.#openExchange(bus, seed);
    const random: Random = seededRandom(seed);
    if (known.source === 'events') {
      const deps = { clock, random: seededRandom(seed + 1), channel: known };
      this.#followed = new FollowedCaches(deps, sizeOf(plan));
    }
    const modelOf = (slot: number): WorkerModel | undefined => engines.modelOf(this.#ids[slot] ?? '');
    let wantsLmcache = false;
    const cacheFor = (options: KnownOptions): CacheView => {
      wantsLmcache ||= options.knowledge === 'lmcache';
      return this.#viewFor(options, modelOf);
    };
    const deps: Parameters<PolicyFactory>[0] = {
      ...{ loads: this.ledger, cache: cacheFor({}), cacheFor, clock, random },
      lmcache: { chunks: () => this.#lmcache?.chunks() },
      engineStats: (intervalMs) => new EngineSnapshots(this.#ids, engines, clock, intervalMs),
      activeBlocks: () => (this.#activeBlocks ??= new ActiveBlocks()),
      onFirstToken: (listener) => {
        this.#toldFirstToken.push(listener);
      },
      believedBlocks: (slot) => this.#index?.entriesOf(slot) ?? modelOf(slot)?.cache.held ?? 0,
      cacheTokens: (slot) => {
        const model = modelOf(slot);
        return model ? model.cache.capacity * model.settings.blockSize : 0;
      },
    };
    this.policy = plan.policy(deps);
    const { pairs } = plan;
    const [prefill, decode] = [pairs?.prefillPolicy?.(deps), pairs?.decodePolicy?.(deps)];
    if (pairs)
      this.#stages = new SimStages(
        { split: pairs.split, prefill, decode },
        { loads: this.ledger, cache: deps.cache, capacityOf: (slot) => deps.cacheTokens(slot) },
      );
    const policies = [this.policy, prefill, decode].filter((policy) => policy !== undefined);
    this.#looksUp = policies.some(({ needs }) => needs.lmcache !== 'occupancy');
    if (wantsLmcache || policies.some(asksLmcache))
      this.#lmcache = new ModelledController(sizeOf(plan).blockSize, this.#index);
  }

  /** Undefined where what the engines hold is known without. */
  #openIndex(): PredictedIndex | undefined {
    const { cache, workers } = this.#plan;
    if (cache.source === 'exact') return undefined;
    const { maxBlocksPerWorker } = cache;
    return new PredictedIndex({
      ...{ clock: this.#clock, maxBlocksPerWorker },
      maxBytes: Math.max(65_536, INDEX_BYTES_PER_BLOCK * maxBlocksPerWorker * workers.length),
      onRouted: (record) => {
        this.#exchange?.placed(record);
      },
    });
  }

  #openExchange(way: SimBus, seed: number): ReplicaExchange {
    const origin = Buffer.alloc(ORIGIN_BYTES);
    origin.writeUInt32LE(seed >>> 0);
    const exchange = new ReplicaExchange({
      ...{ clock: this.#clock, registry: this.registry, ledger: this.ledger, way, origin, secret: undefined },
      intervalMs: this.#plan.shareIntervalMs ?? 0,
      record: (record) => {
        this.#index?.hear(record);
      },
    });
    exchange.start();
    return exchange;
  }

  join(id: string, role: WorkerRole = 'regular'): void {
    const worker = this.registry.add({
      ...{ baseUrl: id, id, rank: undefined, apiKey: undefined },
      traits: { ...DEFAULT_TRAITS, role },
    });
    this.#ids[worker.slot] = id;
    const events = this.#engines.eventsOf(id);
    if (events) this.#followed?.follow(worker.slot, events);
    this.#lmcache?.join(worker.slot, this.#engines.modelOf(id));
    this.registry.reportCheck(worker, true);
  }

  leave(id: string): void {
    const worker = this.registry.get(id);
    if (worker === undefined) return;
    this.registry.remove(worker);
    this.#ids[worker.slot] = undefined;
    this.policy.observe?.({ type: 'left', slot: worker.slot });
    this.#stages?.observe({ type: 'left', slot: worker.slot });
    this.#index?.forget(worker.slot);
    this.#followed?.leave(worker.slot);
    this.#lmcache?.leave(worker.slot);
  }

  #viewFor(options: KnownOptions, modelOf: (slot: number) => WorkerModel | undefined): CacheView {
    if (options.knowledge === 'none') return noCache;
    if (this.#index === undefined) return heldView(modelOf);
    const followed = this.#followed;
    const exact = followed && (() => followed);
    const blockSize = (slot: number): number => modelOf(slot)?.settings.blockSize ?? 0;
    const sources = { predicted: this.#index, exact, blockSize, waitMs: waitsOf(this.ledger) };
    return new KnownCaches(sources, options);
  }

  /** Undefined when nobody can take it. `tried`: slots it has failed on. */
  dispatch(request: TraceRequest, tried: ReadonlySet<number>): Dispatch | undefined {
    const holdings = this.#looksUp ? this.#lmcache?.holdings(request.blocks) : undefined;
    const ask = new TraceAsk(request, this.#followed !== undefined, holdings);
    const whole = this.#view('whole', tried);
    // What has no answer has no second half.
    const pair =
      request.outputTokens > 0
        ? this.#stages?.choose(ask, this.#pools(whole, tried), request.outputTokens)
        : undefined;
    if (pair) return this.#sendApart(ask, request, pair);
    const chosen = chosenOf(this.policy, ask, whole);
    if (chosen === undefined) return undefined;
    const { worker, uncachedTokens, predictedTokens } = chosen;
    const lease = this.ledger.acquire(worker.slot, {
      prefillTokens: uncachedTokens,
      kvTokens: request.promptTokens + request.outputTokens,
      stream: true,
    });
    this.#noteSent(request, chosen);
    this.policy.observe?.(dispatchOf(ask, chosen));
    return {
      ask,
      worker,
      lease,
      uncachedTokens,
      predictedTokens,
      sentAt: this.#clock.now(),
      prefill: undefined,
    };
  }

  /** The leases of both are taken at once, as in the server: who decodes knows what will come. */
  #sendApart(ask: Ask, request: TraceRequest, { prefill, decode, missingTokens }: ChosenPair): Dispatch {
    const { promptTokens, outputTokens } = request;
    const { worker, uncachedTokens, predictedTokens } = prefill;
    const first = this.ledger.acquire(worker.slot, {
      ...{ prefillTokens: uncachedTokens, kvTokens: promptTokens, stream: true },
    });
    const lease = this.ledger.acquire(decode.worker.slot, {
      ...{ prefillTokens: 0, kvTokens: promptTokens + outputTokens, stream: false },
    });
    for (const chosen of [prefill, decode]) {
      this.#noteSent(request, chosen);
      this.#stages?.observe(dispatchOf(ask, chosen), chosen.worker);
    }
    return {
      ...{ ask, worker: decode.worker, lease, uncachedTokens: 0, predictedTokens },
      sentAt: this.#clock.now(),
      prefill: { worker, lease: first, uncachedTokens, missingTokens, answeredAt: NaN },
    };
  }

  #view(stage: Stage, tried: ReadonlySet<number>): PoolView {
    return viewPool(this.registry.membersFor('', stage), {
      tried,
      now: this.#clock.now(),
      slowStartMs: this.#plan.slowStartMs,
    });
  }

  #pools(whole: PoolView, tried: ReadonlySet<number>): StagePools {
    return { whole, prefill: this.#view('prefill', tried), decode: this.#view('decode', tried) };
  }

  #noteSent({ blocks }: TraceRequest, { worker }: ChosenWorker): void {
    this.#activeBlocks?.add(worker.slot, blocks);
    this.#index?.record(blocks, worker.slot, worker.generation);
  }

  /** The prompt has been computed, of a request that is split. */
  prefilled({ prefill }: Dispatch, { blocks }: TraceRequest): void {
    if (prefill === undefined) return;
    prefill.answeredAt = this.#clock.now();
    prefill.lease.firstToken(prefill.uncachedTokens);
    if (prefill.lease.release()) this.#activeBlocks?.remove(prefill.worker.slot, blocks);
  }

  firstToken({ ask, worker, lease, uncachedTokens, sentAt, prefill }: Dispatch): void {
    lease.firstToken(uncachedTokens);
    const now = this.#clock.now();
    for (const listener of this.#toldFirstToken) listener(ask, worker.slot, now - sentAt);
    if (prefill === undefined) return;
    this.#stages?.fetched(prefill.worker, worker, prefill.missingTokens, now - prefill.answeredAt);
  }

  /** The request has ended there, in whatever way. */
  release({ lease, worker, prefill }: Dispatch, { blocks, outputTokens }: TraceRequest): void {
    if (prefill?.lease.release()) this.#activeBlocks?.remove(prefill.worker.slot, blocks);
    if (!lease.release()) return;
    this.#activeBlocks?.remove(worker.slot, blocks);
    this.#stages?.answered(outputTokens);
  }
}

function dispatchOf(ask: Ask, { worker, predictedTokens }: ChosenWorker): PolicyEvent {
  const matchedTokens = Number.isNaN(predictedTokens) ? 0 : predictedTokens;
  return { type: 'dispatched', ask, slot: worker.slot, matchedTokens };
}

function asksLmcache({ needs: { lmcache } }: Policy): boolean {
  return lmcache === 'prompts' || lmcache === 'occupancy';
}

/** How much the engines of a plan hold. */
function sizeOf({ workers }: FleetPlan): { readonly blockSize: number; readonly blocks: number } {
  return {
    blockSize: workers[0]?.settings.blockSize ?? 1,
    blocks: workers.reduce((sum, { settings }) => sum + settings.blocks + settings.cpuBlocks, 0),
  };
}
