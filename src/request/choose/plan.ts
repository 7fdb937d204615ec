import { noteDispatch } from '../../cache-knowledge/known-caches.ts';
import { wholeBlocks } from '../../routing/blocks.ts';
import {
  CACHE_SOURCES,
  EXCLUDED,
  type CacheSource,
  type Choice,
  type HashKey,
} from '../../routing/policy.ts';
import type { Lease } from '../../workers/ledger.ts';
import type { Permit } from '../../workers/permit.ts';
import type { PoolMembers } from '../../workers/model-pools.ts';
import { viewPool, type PoolView } from '../../workers/pool-view.ts';
import type { Worker } from '../../workers/worker.ts';
import type { DecisionMethod } from '../record/decision.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/** What the index knew of the prompt at the worker that was chosen. */
interface Memory {
  /** When the last block was used that the worker is expected to hold of the prompt, as the index has it; undefined where none is. */
  readonly lastUse: number | undefined;
  /** Blocks of its text. */
  readonly blocks: number;
}

/** One worker's part in a request. Its lease and breaker permit are taken with the plan and given back with the attempt. */
export interface Leg extends Memory {
  readonly role: 'regular';
  readonly worker: Worker;
  readonly lease: Lease;
  readonly permit: Permit;
  readonly uncachedTokens: number;
}

/** Where one attempt goes, chosen as a whole. */
export interface Plan {
  readonly kind: 'plan';
  readonly method: DecisionMethod;
  readonly reason: string;
  /** Name of the policy that decided, or would have. */
  readonly policy: string;
  /** Name of the policy that was asked, or would have been. */
  readonly asked: string;
  /** What the policy could know of the workers' caches. */
  readonly cacheSource: CacheSource;
  readonly legs: readonly [Leg];
  /** When it was made, monotonic ms. */
  readonly now: number;
  readonly pool: PoolView;
  /** Absent when a selector before the policy decided. */
  readonly choice: Extract<Choice, { kind: 'chosen' }> | undefined;
  readonly index: number;
  readonly predictedCachedTokens: number | undefined;
  readonly predictedTtftMs: number | undefined;
  /** The key, where the policy hashed one. */
  readonly hashKey: HashKey | undefined;
}

export interface NoPlan {
  readonly kind: 'none';
  readonly pool: PoolView;
}

export const NOBODY_TRIED: ReadonlySet<number> = new Set();

/**
 * How often a request looks again because another thread took the trial place that it had seen. Each time somebody else has got
 * one, so that it will hardly come to this; then it goes there all the same.
 */
const MOST_LOST_PLACES = 8;

/** Chooses among the workers not tried yet; when none of those can take the request, among all. */
export function makePlan(rt: Runtime, call: Call, tried: ReadonlySet<number>): Plan | NoPlan {
  const now = rt.clock.now();
  for (let lost = 0; ; lost++) {
    const isFresh = lost > 0;
    let pool = view(rt, call, tried, { now, isFresh });
    if (pool.eligible === 0 && tried.size > 0)
      pool = view(rt, call, NOBODY_TRIED, { now, isFresh, isRetry: true });
    const pick = pickWorker(rt, call, pool, false);
    const plan = pick
      ? seal(rt, call, pool, pick, { now, isLast: lost === MOST_LOST_PLACES })
      : ({ kind: 'none', pool } as const);
    if (!plan) continue;
    if (pool.failedOpen) rt.metrics.cbFailOpenTotal.with().inc();
    return plan;
  }
}

/** Whether `makePlan` would find a worker now. Asks no policy and changes nothing. */
export function canPlan(rt: Runtime, call: Call): boolean {
  const pool = poolFor(rt, call);
  const owner = ownerIndex(rt, call, pool);
  return owner >= 0 ? OWNER_SERVES.has(pool.mask[owner] ?? EXCLUDED.no) : pool.eligible > 0;
}

/** What `makePlan` would come to now, for a request that is not sent: no lease is taken, and no policy remembers it. */
export function previewPlan(rt: Runtime, call: Call): Preview | NoPlan {
  const pool = poolFor(rt, call);
  const pick = pickWorker(rt, call, pool, true);
  if (!pick) return { kind: 'none', pool };
  const prediction = predict(rt, call, memberAt(pool, pick.index), pick);
  return {
    kind: 'preview',
    ...pick,
    pool,
    policy: decider(call, pick),
    asked: call.policy.name,
    cacheSource: cacheSourceOf(rt, call, pick),
    ...prediction,
  };
}

function pickWorker(rt: Runtime, call: Call, pool: PoolView, peek: boolean): Pick | undefined {
  const owner = ownerIndex(rt, call, pool);
  if (owner >= 0) {
    if (!OWNER_SERVES.has(pool.mask[owner] ?? EXCLUDED.no)) return undefined;
    return { method: 'owner', reason: 'stored_resource', index: owner, choice: undefined };
  }
  if (pool.eligible === 0) return undefined;
  const { policy, ask } = call;
  const { prepared } = call;
  const choice = peek && policy.peek ? policy.peek(ask, pool, prepared) : policy.choose(ask, pool, prepared);
  if (choice.kind === 'none') return undefined;
  return { method: choice.method ?? 'policy', reason: choice.reason, index: choice.index, choice };
}

function view(
  rt: Runtime,
  call: Call,
  tried: ReadonlySet<number>,
  {
    now,
    isFresh = false,
    isRetry = tried.size > 0,
  }: { readonly now: number; readonly isFresh?: boolean; readonly isRetry?: boolean },
): PoolView {
  return viewPool(candidatesFor(rt, call.model), {
    tried,
    isRetry,
    now,
    slowStartMs: rt.settings.slowStartMs,
    version: isFresh ? undefined : rt.registry.version,
    // A stored resource is where it is.
    filters: call.resourceId === undefined ? call.filters : undefined,
  });
}

/** Workers that may be asked for a model: nobody, where only those may that list it and none does (any more). */
function candidatesFor(rt: Runtime, model: string): PoolMembers {
  const pool = rt.registry.membersFor(model);
  if (pool.listed || model === '' || rt.settings.unknownModel === 'pass') return pool;
  return { key: model, generation: 0, members: [], listed: false };
}

/**
 * Only its owner knows a stored resource: it is asked again where others would be, while it is drained, and while it is silent. Any other
 * worker would say that the resource is gone, so when the owner is out of reach nobody is asked.
 */
const OWNER_SERVES: ReadonlySet<number> = new Set([
  EXCLUDED.no,
  EXCLUDED.tried,
  EXCLUDED.draining,
  EXCLUDED.suspect,
  EXCLUDED.stalled,
]);

/** The member that holds the resource which the request reads or continues; -1 when that is not known. */
function ownerIndex(rt: Runtime, call: Call, pool: PoolView): number {
  if (call.resourceId === undefined) return -1;
  const owner = rt.owners.ownerOf(call.resourceId);
  return owner === undefined ? -1 : pool.members.findIndex((member) => member.id === owner);
}

/** The members that may be chosen for a request, before any of them has been tried. */
export function poolFor(rt: Runtime, call: Call): PoolView {
  return view(rt, call, NOBODY_TRIED, { now: rt.clock.now() });
}

/** Whether no policy is asked, because the request is about something that one worker holds. */
export function staysWithOwner(rt: Runtime, call: Call): boolean {
  return call.resourceId !== undefined && ownerIndex(rt, call, poolFor(rt, call)) >= 0;
}

interface Pick {
  readonly method: DecisionMethod;
  readonly reason: string;
  readonly index: number;
  readonly choice: Plan['choice'];
}

interface Prediction {
  readonly promptTokens: number;
  readonly uncachedTokens: number;
  readonly predictedCachedTokens: number | undefined;
  readonly predictedTtftMs: number | undefined;
}

/** A plan that was not carried out. */
export interface Preview extends Pick, Prediction {
  readonly kind: 'preview';
  readonly pool: PoolView;
  readonly policy: string;
  readonly asked: string;
  readonly cacheSource: CacheSource;
}

/** How the cache of the worker that was chosen is known. */
function cacheSourceOf(rt: Runtime, { policy }: Call, { index, choice }: Pick): CacheSource {
  const sources = choice?.knowledge?.sources;
  if (sources) return CACHE_SOURCES[sources[index] ?? 0] ?? 'none';
  return rt.cacheIndex && policy.needs.cache ? 'predicted' : 'none';
}

function decider({ policy }: Call, { choice }: Pick): string {
  return choice?.fallback?.policy ?? policy.name;
}

function memberAt(pool: PoolView, index: number): Worker {
  const worker = pool.members[index];
  if (!worker) throw new Error(`the policy chose member ${index} of ${pool.members.length}`);
  return worker;
}

function predict(rt: Runtime, call: Call, { slot, cacheConfig }: Worker, pick: Pick): Prediction {
  const matched = pick.choice?.matchedTokens?.[pick.index];
  const promptTokens = call.ask.promptTokens();
  const blockSize = rt.policies.blockSizeOf(slot);
  const cachedTokens =
    matched === undefined || Number.isNaN(matched)
      ? undefined
      : cacheConfig?.prefixCaching === false
        ? 0
        : wholeBlocks(matched, promptTokens, blockSize);
  const uncachedTokens = Math.max(0, promptTokens - (cachedTokens ?? 0));
  const predictedTtftMs = promptTokens > 0 ? rt.ledger.predictedTtftMs(slot, uncachedTokens) : undefined;
  // Of several samples vLLM tells what the last one found: all that the first one has put there.
  const isRepeated = call.samples > 1 && cacheConfig?.prefixCaching !== false;
  const predictedCachedTokens =
    cachedTokens !== undefined && isRepeated
      ? wholeBlocks(promptTokens, promptTokens, blockSize)
      : cachedTokens;
  return { promptTokens, uncachedTokens, predictedCachedTokens, predictedTtftMs };
}

/** The index knows where the prompt goes; what it knew before is kept for when the answer tells what was really there. */
function noteSent(
  { cacheIndex, policies }: Runtime,
  { ask, policy }: Call,
  { slot, generation }: Worker,
  { promptTokens, predictedCachedTokens = 0 }: Prediction,
): Memory {
  if (!cacheIndex || !policy.needs.cache || promptTokens === 0) return { lastUse: undefined, blocks: 0 };
  const blocks = ask.blocks();
  const lastUse = predictedCachedTokens > 0 ? cacheIndex.lastUse(blocks, slot) : undefined;
  noteDispatch(cacheIndex, ask, { slot, generation, blockSize: policies.blockSizeOf(slot) });
  return { lastUse, blocks: blocks.count };
}

/** Undefined where the worker was on trial, and another thread has taken the place meanwhile. */
function seal(
  rt: Runtime,
  call: Call,
  pool: PoolView,
  pick: Pick,
  { now, isLast }: { readonly now: number; readonly isLast: boolean },
): Plan | undefined {
  const worker = memberAt(pool, pick.index);
  const { slot } = worker;
  const prediction = predict(rt, call, worker, pick);
  const { promptTokens, uncachedTokens, predictedCachedTokens, predictedTtftMs } = prediction;
  const lease = rt.ledger.acquire(slot, {
    prefillTokens: uncachedTokens,
    kvTokens: promptTokens > 0 ? promptTokens + call.maxTokens : 0,
    stream: call.stream,
  });
  const permit = worker.breaker.permit(now);
  if (!permit.admitted && !pool.failedOpen && !isLast) {
    permit.cancel();
    lease.release();
    return undefined;
  }
  worker.processed += 1;
  const memory = noteSent(rt, call, worker, prediction);
  call.policy.observe?.({
    type: 'dispatched',
    ask: call.ask,
    slot,
    matchedTokens: predictedCachedTokens ?? 0,
  });
  const leg: Leg = { role: 'regular', worker, lease, permit, uncachedTokens, ...memory };
  const { method, reason, index, choice } = pick;
  return {
    kind: 'plan',
    method,
    reason,
    index,
    choice,
    policy: decider(call, pick),
    asked: call.policy.name,
    cacheSource: cacheSourceOf(rt, call, pick),
    legs: [leg],
    now,
    pool,
    predictedCachedTokens,
    predictedTtftMs,
    hashKey: call.ask.usedHashKey,
  };
}
