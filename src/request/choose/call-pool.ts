import { EXCLUDED } from '../../routing/policy.ts';
import { CONNECTORS, servesAlone } from '../../engines/prefill-decode/index.ts';
import type { Worker } from '../../workers/worker.ts';
import type { PoolMembers, Stage } from '../../workers/model-pools.ts';
import { viewPool, type PoolView } from '../../workers/pool-view.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/** How a request looks at its pool. */
export interface Look {
  /** Slots it has been sent to already. */
  readonly tried: ReadonlySet<number>;
  readonly now: number;
  /** Whether what was seen before is not to be believed. */
  readonly isFresh?: boolean | undefined;
  readonly isRetry?: boolean;
  readonly stage?: Stage;
  /** Workers that have all they may have at a time. */
  readonly isFull?: ((slot: number) => boolean) | undefined;
}

export const NOBODY_TRIED: ReadonlySet<number> = new Set();

/** `viewOfPool`; where nobody can take the request who has not been tried, those who have been may. */
export function lookAtPool(rt: Runtime, call: Call, look: Look): PoolView {
  const pool = viewOfPool(rt, call, look);
  if (pool.eligible > 0 || look.tried.size === 0) return pool;
  return viewOfPool(rt, call, { ...look, tried: NOBODY_TRIED, isRetry: true });
}

/** The members of the request's pool, and who of them may be chosen. */
export function viewOfPool(
  rt: Runtime,
  call: Call,
  { tried, now, isFresh = false, isRetry = tried.size > 0, stage = 'whole', isFull }: Look,
): PoolView {
  return viewPool(candidatesFor(rt, call.model, stage), {
    tried,
    isRetry,
    now,
    isFull,
    slowStartMs: rt.settings.slowStartMs,
    version: isFresh ? undefined : rt.registry.version,
    servesAlone: stage === 'whole' ? whoServesAlone(rt) : undefined,
    // A stored resource is where it is.
    filters: call.resourceId === undefined ? call.filters : undefined,
  });
}

/** Undefined = everybody does. */
function whoServesAlone({ registry, settings }: Runtime): ((worker: Worker) => boolean) | undefined {
  const { connector } = settings.pd;
  const isEverybody = !registry.handsOver || (connector !== 'auto' && !CONNECTORS[connector].pairsOnly);
  return isEverybody ? undefined : (worker) => servesAlone(connector, worker);
}

/** Whether somebody is there who could serve all of it. */
export function canRunWhole(rt: Runtime, call: Call): boolean {
  return poolFor(rt, call).mask.some((exclusion) => exclusion !== EXCLUDED.pairsOnly);
}

/** Workers that may be asked for a model: nobody, where only those may that list it and none does (any more). */
function candidatesFor(rt: Runtime, model: string, stage: Stage): PoolMembers {
  const pool = rt.registry.membersFor(model, stage);
  if (pool.listed || model === '' || rt.settings.unknownModel === 'pass') return pool;
  return { key: model, generation: 0, members: [], listed: false };
}

/** The members that may be chosen for a request, before any of them has been tried. */
export function poolFor(rt: Runtime, call: Call, stage: Stage = 'whole'): PoolView {
  return viewOfPool(rt, call, { tried: NOBODY_TRIED, now: rt.clock.now(), stage });
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

/** Whether the member, who holds what the request is about, can be asked. */
export function ownerServes(pool: PoolView, index: number): boolean {
  return OWNER_SERVES.has(pool.mask[index] ?? EXCLUDED.no);
}

/** The member that holds the resource which the request reads or continues; -1 when that is not known. */
export function ownerIndex(rt: Runtime, call: Call, pool: PoolView): number {
  if (call.resourceId === undefined) return -1;
  const owner = rt.owners.ownerOf(call.resourceId);
  return owner === undefined ? -1 : pool.members.findIndex((member) => member.id === owner);
}

/** Whether no policy is asked, because the request is about something that one worker holds. */
export function staysWithOwner(rt: Runtime, call: Call): boolean {
  return call.resourceId !== undefined && ownerIndex(rt, call, poolFor(rt, call)) >= 0;
}
