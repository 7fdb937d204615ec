import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';
import { ActiveBlocks } from './active-blocks.ts';
import { EventView } from './event-view.ts';
import { EngineSnapshots, type EngineAccess } from './engine-snapshots.ts';
import { seededRandom, type Random } from '../../base/random.ts';
import type { VirtualClock } from '../../base/virtual-clock.ts';
import { KnownCaches } from '../../cache-knowledge/known-caches.ts';
import { PredictedIndex } from '../../cache-knowledge/predicted-index.ts';
import type { PromptBlocks } from '../../routing/blocks.ts';
import type { Ask, CacheView, ChainKey, HashKey, Policy } from '../../routing/policy.ts';
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
  readonly #events: EventView | undefined;
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
    if (known.source === 'predicted') {
      this.#index = new PredictedIndex({
        clock,
        maxBlocksPerWorker: known.maxBlocksPerWorker,
        maxBytes: Math.max(65_536, INDEX_BYTES_PER_BLOCK * known.maxBlocksPerWorker * plan.workers.length),
      });
    }
    const random: Random = seededRandom(seed);
    if (known.source === 'events') {
      const { delayMs, loss } = known;
      this.#events = new EventView({ delayMs, loss, clock, random: seededRandom(seed + 1) });
    }
    const modelOf = (slot: number): WorkerModel | undefined => engines.modelOf(this.#ids[slot] ?? '');
    const cache = this.#index
      ? new KnownCaches({ predicted: this.#index })
      : (this.#events ?? exactView(modelOf));
    this.policy = plan.policy({
      ...{ loads: this.ledger, cache, clock, random },
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
  }

  join(id: string): void {
    const worker = this.registry.add({
      ...{ baseUrl: id, id, rank: undefined, apiKey: undefined },
      traits: DEFAULT_TRAITS,
    });
    this.#ids[worker.slot] = id;
    const model = this.#engines.modelOf(id);
    if (model) this.#events?.follow(worker.slot, model.cache);
    this.registry.reportCheck(worker, true);
  }

  leave(id: string): void {
    const worker = this.registry.get(id);
    if (worker === undefined) return;
    this.registry.remove(worker);
    this.#ids[worker.slot] = undefined;
    this.policy.observe?.({ type: 'left', slot: worker.slot });
    this.#index?.forget(worker.slot);
    this.#events?.leave(worker.slot);
  }

  /** Undefined when nobody can take it. `tried`: slots it has failed on. */
  dispatch(request: TraceRequest, tried: ReadonlySet<number>): Dispatch | undefined {
    const pool = viewPool(this.registry.membersFor(''), {
      tried,
      now: this.#clock.now(),
      slowStartMs: this.#plan.slowStartMs,
    });
    if (pool.eligible === 0) return undefined;
    const ask = new TraceAsk(request);
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

/** What engines really hold. */
function exactView(modelOf: (slot: number) => WorkerModel | undefined): CacheView {
  return {
    match: (ask, slot) => {
      const blocks = ask.blocks();
      const held = modelOf(slot)?.cache.match(blocks.hashes, blocks.count) ?? 0;
      return { tokens: held * blocks.tokensPerBlock, source: 'events' };
    },
  };
}

/** A request of a trace as policies see it. */
class TraceAsk implements Ask {
  readonly model = '';
  readonly stream = true;
  readonly #request: TraceRequest;

  constructor(request: TraceRequest) {
    this.#request = request;
  }

  blocks(): PromptBlocks {
    return this.#request.blocks;
  }

  /** A trace has no tokens, only blocks of them: they are what any worker computes. */
  tokenIds(): undefined {
    return undefined;
  }

  chain(key: ChainKey): PromptBlocks | undefined {
    const blocks = this.blocks();
    return key === 'text' || key.blockSize === blocks.tokensPerBlock ? blocks : undefined;
  }

  hashKey(): HashKey {
    const { session, blocks, promptTokens } = this.#request;
    if (session !== undefined) return { source: 'session', value: session, sticky: true };
    const { hashes, count } = blocks;
    const last = count === 0 ? '' : `${String(hashes[2 * count - 2])}:${String(hashes[2 * count - 1])}`;
    return { source: 'prompt', value: `${last}:${String(promptTokens)}`, sticky: false };
  }
}
