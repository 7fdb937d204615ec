import type { CacheSource, HashKey, Policy } from '../../routing/policy.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import { BY_RULE, pickExternal } from './external.ts';
import { lookAtPool, ownerIndex, ownerServes, poolFor } from './call-pool.ts';
import { legOf, take, type Leg } from './leg.ts';
import {
  canPair,
  FIRST_TRY,
  mayPair,
  pickPair,
  takePair,
  type PairLeg,
  type Split,
  type Tries,
} from './pair.ts';
import { pickWorker, predict, type NoPlan, type Picked, type Prediction } from './pick.ts';

/** Where one attempt goes, chosen as a whole. */
export interface Plan extends Omit<Picked, 'worker'> {
  readonly kind: 'plan';
  /** The worker whose answer the client gets. */
  readonly leg: Leg;
  /** Where another one computes the prompt for it. */
  readonly prefill: PairLeg | undefined;
  /** Whether the request was to be split between two; undefined where nobody could have asked. */
  readonly split: Split | undefined;
  /** What the policy could know of the cache of the worker that computes the prompt. */
  readonly cacheSource: CacheSource;
  /** When it was made, monotonic ms. */
  readonly now: number;
  readonly predictedCachedTokens: number | undefined;
  readonly predictedTtftMs: number | undefined;
  /** The key, where the policy hashed one. */
  readonly hashKey: HashKey | undefined;
}

/** A plan that was not carried out. */
export interface Preview extends Picked, Prediction {
  readonly kind: 'preview';
  readonly prefill: Pick<PairLeg, 'picked' | 'connector'> | undefined;
  readonly split: Split | undefined;
}

/**
 * How often a request looks again because another thread took the trial place that it had seen. Each time somebody else has got
 * one, so that it will hardly come to this; then it goes there all the same.
 */
const MOST_LOST_PLACES = 8;

/** Chooses among the workers not tried yet; when none of those can take the request, among all. */
export function makePlan(rt: Runtime, call: Call, tries: Tries): Plan | NoPlan {
  const now = rt.clock.now();
  for (let lost = 0; ; lost++) {
    const moment = { now, isFresh: lost > 0, isLast: lost === MOST_LOST_PLACES };
    const out = call.external && pickExternal(rt, call, tries, now);
    if (out && 'kind' in out) return out;
    const plan = out
      ? carryOut(rt, call, { picked: out, role: 'external', decides: BY_RULE }, moment)
      : mayPair(rt, call)
        ? pairOrWhole(rt, call, tries, moment)
        : whole(rt, call, tries, moment);
    if (!plan) continue;
    if (plan.pool.failedOpen) rt.metrics.cbFailOpenTotal.with().inc();
    return plan;
  }
}

/** Whether `makePlan` would find a worker now. Asks no policy and changes nothing. */
export function canPlan(rt: Runtime, call: Call): boolean {
  const out = pickExternal(rt, call, FIRST_TRY, rt.clock.now());
  if (out) return !('kind' in out);
  const pool = poolFor(rt, call);
  const owner = ownerIndex(rt, call, pool);
  if (owner >= 0) return ownerServes(pool, owner);
  if (pool.eligible === 0) return false;
  return !mayPair(rt, call) || rt.settings.pd.fallback === 'whole' || canPair(rt, call);
}

/** What `makePlan` would come to now, for a request that is not sent: no lease is taken, and no policy remembers it. */
export function previewPlan(rt: Runtime, call: Call): Preview | NoPlan {
  const out = pickExternal(rt, call, FIRST_TRY, rt.clock.now());
  if (out && 'kind' in out) return out;
  if (out)
    return { kind: 'preview', ...out, ...predict(rt, call, out), prefill: undefined, split: undefined };
  const pair = mayPair(rt, call)
    ? pickPair(rt, call, FIRST_TRY, { now: rt.clock.now(), peek: true })
    : undefined;
  if (pair?.kind === 'none') return pair;
  if (pair?.kind === 'pair') {
    const { prefill: picked, decode, split, connector } = pair;
    const prediction = { ...predict(rt, call, picked), predictedTtftMs: split.ttftMs };
    const { cacheSource } = picked;
    return { kind: 'preview', ...decode, ...prediction, prefill: { picked, connector }, split, cacheSource };
  }
  const pool = poolFor(rt, call);
  const picked = pickWorker(rt, call, pool, true);
  if (!picked) return { kind: 'none', pool };
  return { kind: 'preview', ...picked, ...predict(rt, call, picked), prefill: undefined, split: pair?.split };
}

/** Who does all of a request, and by whom it was named. */
interface OneWorker {
  readonly picked: Picked;
  readonly role: 'regular' | 'external';
  readonly decides: Pick<Policy, 'needs' | 'observe'>;
}

interface Moment {
  readonly now: number;
  readonly isFresh: boolean;
  readonly isLast: boolean;
}

/** Undefined where a trial place was lost. */
function whole(
  rt: Runtime,
  call: Call,
  { tried }: Tries,
  moment: Moment,
  split?: Split,
): Plan | NoPlan | undefined {
  const pool = lookAtPool(rt, call, { tried, now: moment.now, isFresh: moment.isFresh });
  const picked = pickWorker(rt, call, pool, false);
  if (!picked) return { kind: 'none', pool };
  return carryOut(rt, call, { picked, role: 'regular', decides: call.policy }, moment, split);
}

/** Takes what the request needs where one worker does all of it. Undefined where a trial place was lost. */
function carryOut(
  rt: Runtime,
  call: Call,
  { picked, role, decides }: OneWorker,
  moment: Moment,
  split?: Split,
): Plan | undefined {
  const prediction = predict(rt, call, picked);
  const { promptTokens, uncachedTokens } = prediction;
  const load = {
    prefillTokens: uncachedTokens,
    kvTokens: promptTokens > 0 ? promptTokens + call.maxTokens : 0,
    stream: call.stream,
  };
  const taken = take(rt, picked, load, moment);
  if (!taken) return undefined;
  const leg = legOf(rt, call, { role, picked, prediction, taken, policy: decides });
  return planOf(call, { picked, prediction, leg, now: moment.now, prefill: undefined, split });
}

function pairOrWhole(rt: Runtime, call: Call, tries: Tries, moment: Moment): Plan | NoPlan | undefined {
  const pair = pickPair(rt, call, tries, { ...moment, peek: false });
  if (pair.kind === 'none') return pair;
  if (pair.kind === 'whole') return whole(rt, call, tries, moment, pair.split);
  const taken = takePair(rt, call, pair, moment);
  if (!taken) return undefined;
  const { split, decode, prefill } = pair;
  return planOf(call, {
    picked: { ...decode, cacheSource: prefill.cacheSource },
    prediction: { ...taken.prediction, predictedTtftMs: split.ttftMs },
    leg: taken.leg,
    now: moment.now,
    prefill: taken.prefill,
    split,
  });
}

function planOf(
  call: Call,
  of: Pick<Plan, 'leg' | 'prefill' | 'split' | 'now'> & {
    readonly picked: Picked;
    readonly prediction: Prediction;
  },
): Plan {
  const { method, reason, index, choice, policy, asked, cacheSource, pool } = of.picked;
  return {
    kind: 'plan',
    method,
    reason,
    index,
    choice,
    policy,
    asked,
    cacheSource,
    leg: of.leg,
    prefill: of.prefill,
    split: of.split,
    now: of.now,
    pool,
    predictedCachedTokens: of.prediction.predictedCachedTokens,
    predictedTtftMs: of.prediction.predictedTtftMs,
    hashKey: call.ask.usedHashKey,
  };
}
