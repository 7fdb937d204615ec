import { EXCLUDED } from '../routing/policy.ts';
import type { Exclusion, Pool } from '../routing/policy.ts';
import type { PoolMembers } from './model-pools.ts';
import type { Worker } from './worker.ts';

/** A worker that has just become healthy counts as this many times as loaded as it is. */
const FIRST_RAMP = 10;

export interface PoolView extends Pool {
  readonly members: readonly Worker[];
  /** Breakers excluded every worker that was otherwise fit, and one of them was let through all the same. */
  readonly failedOpen: boolean;
}

export interface ViewOptions {
  /** Slots this request has been sent to already. */
  readonly tried: ReadonlySet<number>;
  /** Where `tried` does not tell: it was sent before, and may go anywhere again. */
  readonly isRetry?: boolean;
  readonly now: number;
  readonly slowStartMs: number;
  /** Slots whose workers have all that they may have at a time; undefined = nobody has. */
  readonly isFull?: ((slot: number) => boolean) | undefined;
  /** Who wants to be left alone for a while; undefined = nobody does. */
  readonly rests?: ((worker: Worker) => boolean) | undefined;
  /** Undefined = everybody can. */
  readonly servesAlone?: ((worker: Worker) => boolean) | undefined;
  /** What the request says about the workers it wants. */
  readonly filters?: WorkerFilters | undefined;
  /** `WorkerRegistry.version`. Where it is the same as at the last look, nobody need be looked at again. */
  readonly version?: number | undefined;
}

/** Which workers a request wants at all. */
export interface WorkerFilters {
  /** `-Infinity` = any. */
  readonly minPriority: number;
  /** `Infinity` = any. */
  readonly maxCost: number;
}

/**
 * What one choice may see of a pool: who is excluded and why, and who is still being ramped up. Where breakers alone
 * exclude every healthy worker, the one whose breaker failed longest ago, if not tried yet, is let through: some
 * worker has to answer, and a router that refuses everything would turn a bad minute of the fleet into an outage. For the
 * same reason nobody is suspect where no other worker can take the request, nor stalled where all who could are.
 * When untried workers run out, nothing is eligible; the caller may look again with an empty `tried`.
 */
export function viewPool(pool: PoolMembers, options: ViewOptions): PoolView {
  const { tried, isRetry = tried.size > 0, filters, version, slowStartMs, now } = options;
  if (version === undefined || isRetry || filters !== undefined || options.isFull || options.servesAlone)
    return look(pool, options).view;
  const known = lasting.get(pool);
  if (known?.version === version && known.slowStartMs === slowStartMs && now < known.until)
    return known.view.at(now);
  const { view, until } = look(pool, options);
  if (until > now) lasting.set(pool, { view, until, version, slowStartMs });
  return view;
}

/** The last view of a pool that any request may have, as long as nothing happens to its workers. */
const lasting = new WeakMap<
  PoolMembers,
  { readonly view: View; readonly until: number; readonly version: number; readonly slowStartMs: number }
>();

/** `until`: when time alone makes it another one; always, where requests do by themselves. */
function look(pool: PoolMembers, options: ViewOptions): { readonly view: View; readonly until: number } {
  const { members } = pool;
  const { tried, now, slowStartMs } = options;
  const mask = new Uint8Array(members.length);
  let eligible = 0;
  let ramping = 0;
  let alreadyTried = 0;
  let suspect = 0;
  let stalled = 0;
  let until = Infinity;
  let fallback = -1;
  let fallbackFailedAt = Number.POSITIVE_INFINITY;
  for (let index = 0; index < members.length; index++) {
    const worker = members[index];
    if (worker === undefined) continue;
    const exclusion = (mask[index] = exclusionFor(worker, options));
    // Time gives it a trial, and requests take it.
    if (!worker.breaker.isClosed) until = -Infinity;
    if (exclusion === EXCLUDED.no) {
      eligible += 1;
      const rampsFor = rampLeftMs(worker, now, slowStartMs);
      if (rampsFor > 0) {
        ramping += 1;
        until = Math.min(until, now + rampsFor);
      }
    } else if (exclusion === EXCLUDED.tried) {
      alreadyTried += 1;
    } else if (exclusion === EXCLUDED.suspect) {
      suspect += 1;
    } else if (exclusion === EXCLUDED.stalled) {
      stalled += 1;
    } else if (exclusion === EXCLUDED.breakerOpen) {
      const { failedAt } = worker.breaker;
      if (failedAt < fallbackFailedAt && !tried.has(worker.slot)) {
        fallback = index;
        fallbackFailedAt = failedAt;
      }
    }
  }
  if (eligible === 0 && alreadyTried === 0 && suspect + stalled > 0) {
    eligible = suspect > 0 ? suspect : stalled;
    pardon(mask, suspect > 0 ? EXCLUDED.suspect : EXCLUDED.stalled);
  }
  const failedOpen = eligible === 0 && alreadyTried === 0 && fallback >= 0;
  if (failedOpen) {
    mask[fallback] = EXCLUDED.no;
    eligible = 1;
  }
  // Among workers that all ramp nobody is to be spared.
  const ramped = ramping > 0 && ramping < eligible;
  const view = new View(pool, {
    mask,
    eligible,
    failedOpen,
    now,
    isRetry: options.isRetry ?? tried.size > 0,
    slowStartMs: ramped ? slowStartMs : 0,
  });
  return { view, until };
}

function exclusionFor(worker: Worker, options: ViewOptions): Exclusion {
  const { filters, tried, now, isFull, servesAlone, rests } = options;
  if (servesAlone?.(worker) === false) return EXCLUDED.pairsOnly;
  const unwanted = filters === undefined ? EXCLUDED.no : unwantedBy(filters, worker);
  const state = unwanted === EXCLUDED.no ? exclusionOf(worker, tried, now) : unwanted;
  if (state !== EXCLUDED.no) return state;
  if (rests?.(worker) === true) return EXCLUDED.coolingDown;
  return isFull?.(worker.slot) === true ? EXCLUDED.full : state;
}

/** Those that are excluded for this alone may be chosen all the same. */
function pardon(mask: Uint8Array, exclusion: Exclusion): void {
  for (let index = 0; index < mask.length; index++) if (mask[index] === exclusion) mask[index] = EXCLUDED.no;
}

/** Whether the worker could be chosen now: healthy, awake, not draining nor stalled, its circuit closed or on trial. */
export function isAvailable(worker: Worker, now: number): boolean {
  const exclusion = exclusionOf(worker, NONE_TRIED, now);
  return exclusion === EXCLUDED.no || exclusion === EXCLUDED.suspect;
}

const NONE_TRIED: ReadonlySet<number> = new Set();

/** Before anything else: what a request does not want, it never wants, whatever state it is in. */
function unwantedBy({ minPriority, maxCost }: WorkerFilters, { traits }: Worker): Exclusion {
  if (traits.priority < minPriority) return EXCLUDED.priority;
  return traits.cost > maxCost ? EXCLUDED.cost : EXCLUDED.no;
}

function exclusionOf(worker: Worker, tried: ReadonlySet<number>, now: number): Exclusion {
  if (!worker.health.healthy) return EXCLUDED.unhealthy;
  if (worker.draining) return EXCLUDED.draining;
  if (worker.engine !== 'running') return EXCLUDED[worker.engine];
  if (!worker.breaker.admits(now)) return EXCLUDED.breakerOpen;
  if (tried.size > 0 && tried.has(worker.slot)) return EXCLUDED.tried;
  const { state } = worker.progress;
  return state === 'moving' ? EXCLUDED.no : EXCLUDED[state];
}

function rampLeftMs({ rampStartedAt }: Worker, now: number, slowStartMs: number): number {
  return rampStartedAt === undefined ? 0 : slowStartMs - (now - rampStartedAt);
}

interface ViewParts {
  readonly mask: Uint8Array;
  readonly eligible: number;
  readonly failedOpen: boolean;
  readonly isRetry: boolean;
  readonly now: number;
  /** 0 = nobody is ramped up. */
  readonly slowStartMs: number;
}

class View implements PoolView {
  readonly key: string;
  readonly generation: number;
  readonly members: readonly Worker[];
  readonly mask: Uint8Array;
  readonly eligible: number;
  readonly failedOpen: boolean;
  readonly isRetry: boolean;
  readonly ramps: boolean;
  readonly #parts: ViewParts;

  constructor(pool: Pick<PoolMembers, 'key' | 'generation' | 'members'>, parts: ViewParts) {
    this.key = pool.key;
    this.generation = pool.generation;
    this.members = pool.members;
    this.mask = parts.mask;
    this.eligible = parts.eligible;
    this.failedOpen = parts.failedOpen;
    this.isRetry = parts.isRetry;
    this.ramps = parts.slowStartMs > 0;
    this.#parts = parts;
  }

  /** The same later on, where nothing but the ramps has changed. */
  at(now: number): View {
    return this.#parts.slowStartMs === 0 ? this : new View(this, { ...this.#parts, now });
  }

  ramp(index: number): number {
    const { slowStartMs, now } = this.#parts;
    if (slowStartMs === 0) return 1;
    const worker = this.members[index];
    if (worker?.rampStartedAt === undefined) return 1;
    const done = (now - worker.rampStartedAt) / slowStartMs;
    return done < 1 ? FIRST_RAMP - (FIRST_RAMP - 1) * Math.max(0, done) : 1;
  }
}
