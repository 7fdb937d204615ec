import type { ExternalTraits } from '../../config/settings/settings.ts';
import { EXCLUDED, type PolicyNeeds } from '../../routing/policy.ts';
import { EXTERNAL_KEY } from '../../workers/model-pools.ts';
import { viewPool, type PoolView } from '../../workers/pool-view.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { NOBODY_TRIED, viewOfPool } from './call-pool.ts';
import { mayPair, type Tries } from './pair.ts';
import type { ExternalWish } from './outward.ts';
import type { Decides, NoPlan, Picked } from './pick.ts';

/** In the place of a policy: none chooses. */
export const BY_RULE: Decides = { name: 'external', needs: { cache: false } satisfies PolicyNeeds };

/** Whether the request is none of the fleet's, whatever state that is in. */
export function goesOut({ external }: Pick<Call, 'external'>): boolean {
  return external?.when === 'always' || external?.overflows === true;
}

/** The provider that is to have the request now; undefined: the fleet is to have it. */
export function pickExternal(
  rt: Runtime,
  call: Call,
  tries: Pick<Tries, 'tried'>,
  now: number,
): Picked | NoPlan | undefined {
  const { external: wish } = call;
  if (!wish) return undefined;
  const reason = reasonFor(rt, call, wish, tries, now);
  if (reason === undefined) return undefined;
  let pool = poolOf(rt, call, wish, tries.tried, now);
  // Where there is nobody else at all, one that failed is asked again, as workers are.
  if (pool.eligible === 0 && goesOut(call) && tries.tried.size > 0)
    pool = poolOf(rt, call, wish, NOBODY_TRIED, now);
  const index = pool.mask.indexOf(EXCLUDED.no);
  const worker = pool.members[index];
  if (!worker) return goesOut(call) ? { kind: 'none', pool } : undefined;
  return {
    ...{ pool, index, worker, method: 'external', reason, choice: undefined },
    ...{ asked: BY_RULE.name, policy: BY_RULE.name, cacheSource: 'none' },
  };
}

/** Whether somebody who has not been tried would take it, in the fleet or outside: then nothing is gained by waiting. */
export function hasAnother(rt: Runtime, call: Call, tried: ReadonlySet<number>): boolean {
  const now = rt.clock.now();
  const { external: wish } = call;
  if (wish && poolOf(rt, call, wish, tried, now).eligible > 0) return true;
  return !goesOut(call) && viewOfPool(rt, call, { tried, now }).eligible > 0;
}

/** Whether a provider of the chain could take it now. */
export function canGoOut(rt: Runtime, call: Call): boolean {
  return call.external !== undefined && hasProvider(rt, call, call.external);
}

function hasProvider(rt: Runtime, call: Call, wish: ExternalWish): boolean {
  return poolOf(rt, call, wish, NOBODY_TRIED, rt.clock.now()).eligible > 0;
}

/** Why it goes out: for the record. */
function reasonFor(
  rt: Runtime,
  call: Call,
  wish: ExternalWish,
  { tried }: Pick<Tries, 'tried'>,
  now: number,
): string | undefined {
  if (wish.overflows) return 'saturated';
  if (wish.when === 'always') return wish.rule === undefined ? 'mode' : 'rule';
  // Those that have been tried have failed: before they are asked again the providers are.
  const fleet = viewOfPool(rt, call, { tried, now });
  if (fleet.eligible === 0) return 'unavailable';
  return wish.when === 'saturated' && isSaturated(rt, call, wish, fleet, now) ? 'saturated' : undefined;
}

function isSaturated(
  rt: Runtime,
  call: Call,
  { saturatedAt }: ExternalWish,
  whole: PoolView,
  now: number,
): boolean {
  if (!mayPair(rt, call)) return isFull(rt, whole, saturatedAt);
  // Either half stands in the way of the other one.
  return (['prefill', 'decode'] as const).some((stage) =>
    isFull(rt, viewOfPool(rt, call, { tried: NOBODY_TRIED, now, stage }), saturatedAt),
  );
}

/** Whether whoever could be chosen has as much as it may. */
function isFull(rt: Runtime, { members, mask }: PoolView, saturatedAt: number): boolean {
  return members.every(
    ({ slot }, index) => mask[index] !== EXCLUDED.no || rt.ledger.running(slot) >= saturatedAt,
  );
}

function poolOf(
  rt: Runtime,
  call: Call,
  wish: ExternalWish,
  tried: ReadonlySet<number>,
  now: number,
): PoolView {
  const members = membersOf(rt, wish).filter((worker) => offers(worker, call.model));
  return viewPool(
    { key: EXTERNAL_KEY + call.model, generation: 0, members, listed: true },
    {
      ...{ tried, now, slowStartMs: 0, filters: call.filters },
      isFull: (slot) => isAtItsMost(rt, members, slot),
      rests: (worker) => rt.coolDowns.leftMs(worker, now) > 0,
    },
  );
}

function isAtItsMost(rt: Runtime, members: readonly Worker[], slot: number): boolean {
  const most = members.find((worker) => worker.slot === slot)?.traits.external?.maxConcurrent;
  return most !== undefined && rt.ledger.own(slot) >= most;
}

/** In the order of the rule. */
function membersOf({ registry }: Runtime, { rule, chain }: ExternalWish): readonly Worker[] {
  if (rule === undefined && chain.length === 0) return registry.externals;
  return chain.flatMap((name) => registry.externalNamed(name) ?? []);
}

/** Whether the rule leads to anybody who has the model, in whatever state. */
export function isOffered(rt: Runtime, wish: ExternalWish, model: string): boolean {
  return membersOf(rt, wish).some((worker) => offers(worker, model));
}

/** Whether it goes there and nowhere else, and no list of models is still to come. */
export function knowsItsModels(rt: Runtime, wish: ExternalWish): boolean {
  const members = membersOf(rt, wish);
  return (
    wish.rule === undefined &&
    members.length > 0 &&
    members.every(({ traits, models }) => !traits.external?.fetchesModels || models.size > 0)
  );
}

export function offers(
  { traits: { external }, models }: Pick<Worker, 'traits' | 'models'>,
  model: string,
): boolean {
  if (!external) return false;
  return (external.models === undefined && !external.fetchesModels) || model === '' || models.has(model);
}

/** How the provider calls the model. */
export function providersModel({ models, modelPrefix }: ExternalTraits, model: string): string {
  // Not a lookup alone: every object has a `constructor`.
  const named = models && Object.hasOwn(models, model) ? models[model] : undefined;
  return named ?? modelPrefix + model;
}
