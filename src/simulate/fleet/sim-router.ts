import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';
import { ModelledController } from './modelled-controller.ts';
import { ActiveBlocks } from './active-blocks.ts';
import { FollowedCaches } from './followed-caches.ts';
import { heldView } from './held-view.ts';
import { EngineSnapshots, type EngineAccess } from './engine-snapshots.ts';
import { seededRandom, type Random } from '../../base/random.ts';
import type { VirtualClock } from '../../base/virtual-clock.ts';
import { KnownCaches, type KnownOptions } from '../../cache-knowledge/known-caches.ts';
import { noCache, PredictedIndex } from '../../cache-knowledge/predicted-index.ts';
import { waitsOf } from '../../request/choose/policy-caches.ts';
import type { PromptBlocks } from '../../routing/blocks.ts';
import type { Ask, CacheView, ChainKey, HashKey, Holdings, Policy } from '../../routing/policy.ts';
import { LoadLedger, type Lease } from '../../workers/ledger.ts';
import { viewPool } from '../../workers/pool-view.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import type { TraceRequest } from '../traces/trace.ts';
import type { FleetPlan } from './fleet-plan.ts';

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
  readonly worker: Worker;
  readonly lease: Lease;
  readonly uncachedTokens: number;
  /** NaN where the policy did not look. */
  readonly predictedTokens: number;
  readonly sentAt: number;
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
  /** Ids by slot, of present workers. */
  readonly #ids: (string | undefined)[] = [];
  /** Kept for policies that ask for it. */
  #activeBlocks: ActiveBlocks | undefined;
  #toldFirstToken: ((ask: Ask, slot: number, ttftMs: number) => void) | undefined;

  constructor(plan: FleetPlan, clock: VirtualClock, engines: EngineAccess, seed: number) {
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
    if (known.source !== 'exact') {
      this.#index = new PredictedIndex({
        clock,
        maxBlocksPerWorker: known.maxBlocksPerWorker,
        maxBytes: Math.max(65_536, INDEX_BYTES_PER_BLOCK * known.maxBlocksPerWorker * plan.workers.length),
      });
    }
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
    this.policy = plan.policy({
      ...{ loads: this.ledger, cache: cacheFor({}), cacheFor, clock, random },
      lmcache: { chunks: () => this.#lmcache?.chunks() },
      engineStats: (intervalMs) => new EngineSnapshots(this.#ids, engines, clock, intervalMs),
      activeBlocks: () => (this.#activeBlocks ??= new ActiveBlocks()),
      onFirstToken: (listener) => {
        this.#toldFirstToken = listener;
      },
      believedBlocks: (slot) => this.#index?.entriesOf(slot) ?? modelOf(slot)?.cache.held ?? 0,
      cacheTokens: (slot) => {
        const model = modelOf(slot);
        return model ? model.cache.capacity * model.settings.blockSize : 0;
      },
    });
    if (wantsLmcache || asksLmcache(this.policy))
      this.#lmcache = new ModelledController(sizeOf(plan).blockSize, this.#index);
  }

  /** Whether its policy goes by where each prompt is stored. */
  get #looksUp(): boolean {
    return this.#lmcache !== undefined && this.policy.needs.lmcache !== 'occupancy';
  }

  join(id: string): void {
    const worker = this.registry.add({
      ...{ baseUrl: id, id, rank: undefined, apiKey: undefined },
      traits: DEFAULT_TRAITS,
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
    const pool = viewPool(this.registry.membersFor(''), {
      tried,
      now: this.#clock.now(),
      slowStartMs: this.#plan.slowStartMs,
    });
    if (pool.eligible === 0) return undefined;
    const holdings = this.#looksUp ? this.#lmcache?.holdings(request.blocks) : undefined;
    const ask = new TraceAsk(request, this.#followed !== undefined, holdings);
    const choice = this.policy.choose(ask, pool);
    if (choice.kind === 'none') return undefined;
    const worker = pool.members[choice.index];
    if (worker === undefined) throw new Error(`the policy chose member ${String(choice.index)}`);
    const predicted = choice.matchedTokens?.[choice.index] ?? NaN;
    const matched = Number.isNaN(predicted) ? 0 : predicted;
    const uncachedTokens = Math.max(0, request.promptTokens - matched);
    const lease = this.ledger.acquire(worker.slot, {
      prefillTokens: uncachedTokens,
      kvTokens: request.promptTokens + request.outputTokens,
      stream: true,
    });
    this.#activeBlocks?.add(worker.slot, request.blocks);
    this.#index?.record(request.blocks, worker.slot);
    this.policy.observe?.({ type: 'dispatched', ask, slot: worker.slot, matchedTokens: matched });
    return { ask, worker, lease, uncachedTokens, predictedTokens: predicted, sentAt: this.#clock.now() };
  }

  firstToken({ ask, worker, lease, uncachedTokens, sentAt }: Dispatch): void {
    lease.firstToken(uncachedTokens);
    this.#toldFirstToken?.(ask, worker.slot, this.#clock.now() - sentAt);
  }

  /** The request has ended there, in whatever way. */
  release({ lease, worker }: Dispatch, { blocks }: TraceRequest): void {
    if (lease.release()) this.#activeBlocks?.remove(worker.slot, blocks);
  }
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

const NO_IDS = new Uint32Array(0);

/** A request of a trace as policies see it. `isTokenized`: workers' blocks of its tokens are known, not its text alone. */
class TraceAsk implements Ask {
  readonly model = '';
  readonly stream = true;
  readonly #request: TraceRequest;
  readonly #isTokenized: boolean;
  readonly holdings: Holdings | undefined;

  constructor(request: TraceRequest, isTokenized: boolean, holdings: Holdings | undefined) {
    this.holdings = holdings;
    this.#request = request;
    this.#isTokenized = isTokenized;
  }

  blocks(): PromptBlocks {
    return this.#request.blocks;
  }

  /** A trace has blocks of tokens in the place of ids: all that is asked here is whether they are known. */
  tokenIds(): Uint32Array | undefined {
    return this.#isTokenized ? NO_IDS : undefined;
  }

  chain(key: ChainKey): PromptBlocks | undefined {
    const blocks = this.blocks();
    if (key === 'text') return blocks;
    return this.#isTokenized && key.blockSize === blocks.tokensPerBlock ? blocks : undefined;
  }

  hashKey(): HashKey {
    const { session, blocks, promptTokens } = this.#request;
    if (session !== undefined) return { source: 'session', value: session, sticky: true };
    const { hashes, count } = blocks;
    const last = count === 0 ? '' : `${String(hashes[2 * count - 2])}:${String(hashes[2 * count - 1])}`;
    return { source: 'prompt', value: `${last}:${String(promptTokens)}`, sticky: false };
  }
}
