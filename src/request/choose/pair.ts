import type { Connector } from '../../engines/prefill-decode/connector.ts';
import { CONNECTORS, connectorFor } from '../../engines/prefill-decode/index.ts';
import type { PdStage } from '../../config/settings/settings.ts';
import { EXCLUDED, type Policy } from '../../routing/policy.ts';
import type { SplitChoice, SplitReason } from '../../routing/split.ts';
import type { Worker } from '../../workers/worker.ts';
import type { PoolView } from '../../workers/pool-view.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import { canRunWhole, lookAtPool, NOBODY_TRIED, poolFor, viewOfPool, type Look } from './call-pool.ts';
import { clusterPool, isClusterPool } from './cluster-pool.ts';
import { giveBack, legOf, take, type Leg } from './leg.ts';
import { MOST_MERGED_BYTES } from '../answer/prefill-merge.ts';
import { pickBy, pickOf, policyWithin, predict, type NoPlan, type Picked, type Prediction } from './pick.ts';

export interface WorkerPair {
  readonly prefill: Worker;
  readonly decode: Worker;
}

/** What became of a request's attempts so far. */
export interface Tries {
  /** Slots of workers that failed it. */
  readonly tried: ReadonlySet<number>;
  /** Pairs between which blocks may not have come across, each once. Who is at fault is not known: their prefill workers are left out while there are others. */
  readonly unfetched: readonly WorkerPair[];
  /** Pairs that have failed it. */
  readonly pairs: number;
  /** One worker is to do all of it. */
  readonly whole: boolean;
}

export const FIRST_TRY: Tries = { tried: NOBODY_TRIED, unfetched: [], pairs: 0, whole: false };

/** Why a request goes through a pair, or to one worker although there are others for prefill. */
export type WhySplit =
  | SplitReason
  /** It asks for what cannot be handed over. */
  | 'not_carried'
  /** It is about what one worker holds. */
  | 'stored_resource'
  | 'no_prefill_worker'
  | 'no_decode_worker'
  /** What a connector must know of the workers is not known, or as much goes on between them as may. */
  | 'no_pair_ready'
  | 'pair_failed';

/** Whether the request goes through a pair, and what either way was expected to cost, what it delays others by included; ms. */
export interface Split {
  readonly isSplit: boolean;
  readonly reason: WhySplit;
  readonly pairMs?: number | undefined;
  readonly wholeMs?: number | undefined;
  /** Expected of the pair alone: until its first token. */
  readonly ttftMs?: number | undefined;
  /** What keeps a pair from handing over, of the first one that it keeps. */
  readonly unready?: string | undefined;
}

/** The leg that computes the prompt. */
export interface PairLeg {
  readonly leg: Leg;
  readonly picked: Picked;
  readonly prediction: Prediction;
  readonly connector: Connector;
  /** Tokens of the prompt that the other leg's worker lacks: their blocks go there. */
  readonly missingTokens: number;
}

interface PairPick {
  readonly kind: 'pair';
  readonly prefill: Picked;
  readonly decode: Picked;
  readonly connector: Connector;
  readonly split: Split;
}

interface WholePick {
  readonly kind: 'whole';
  readonly split: Split;
}

interface Looks {
  readonly now: number;
  readonly isFresh?: boolean | undefined;
  readonly peek: boolean;
}

/** Where one worker may do all of it instead, more pairs are not tried: each has a prompt computed, perhaps for nothing once more. */
const MOST_PAIRS = 2;
/** Pairs of named policies that turn out not to be ready: a request looks for another one so often. */
const MOST_UNREADY = 8;

/** Whether there is anything to decide: a fleet without prefill workers asks nothing more. */
export function mayPair(rt: Runtime, call: Call): boolean {
  return call.handoff !== undefined && rt.registry.hasPrefill(call.model);
}

/** Whether there is a pair with room for the request, or one worker has to do all of it anyway. */
export function canPair(rt: Runtime, call: Call): boolean {
  if (call.handoff === 'no' || call.resourceId !== undefined) return true;
  const looks = { now: rt.clock.now(), peek: true, leftOut: NOBODY_TRIED };
  const { prefill, decode } = poolsOf(rt, call, FIRST_TRY, looks);
  return prefill.eligible > 0 && decode.eligible > 0;
}

export function pickPair(rt: Runtime, call: Call, tries: Tries, looks: Looks): PairPick | WholePick | NoPlan {
  if (call.handoff === 'no' || (call.prompts > 1 && !carriesBatches(rt))) return wholeFor('not_carried');
  if (call.resourceId !== undefined) return wholeFor('stored_resource');
  if (tellsTooMuch(call)) return wholeFor('not_carried');
  if (rt.settings.pd.split.kind === 'never') return wholeFor('never');
  if (tries.whole || (tries.pairs >= MOST_PAIRS && mayFallBack(rt, call))) return wholeFor('pair_failed');
  const leftOut = new Set<number>();
  for (;;) {
    const pools = poolsOf(rt, call, tries, { ...looks, leftOut });
    const picked = pickAmong(rt, call, pools, looks.peek);
    if (picked.kind !== 'unready') return picked;
    leftOut.add(picked.slot);
    if (leftOut.size > MOST_UNREADY) return noPair(rt, call, pools, 'no_pair_ready', looks.peek);
  }
}

/** Whether one worker may serve what pairs have not. */
export function mayFallBack(rt: Runtime, call: Call): boolean {
  return rt.settings.pd.fallback === 'whole' && canRunWhole(rt, call);
}

/** Whether what the prefill worker is to say of the prompt would be too long to be put into the other one's answer. */
function tellsTooMuch({ handoff, ask }: Call): boolean {
  if (typeof handoff !== 'object' || handoff.bytesPerPromptToken === 0) return false;
  return handoff.bytesPerPromptToken * ask.promptTokens() > MOST_MERGED_BYTES;
}

/** Which connector it will be is known before the pair is where it was named. */
function carriesBatches({ settings }: Runtime): boolean {
  const { connector } = settings.pd;
  return connector !== 'auto' && CONNECTORS[connector].batches;
}

interface Pools {
  readonly prefill: PoolView;
  readonly decode: PoolView;
  /** Why there is nobody, where there is nobody. */
  readonly otherwise: WhySplit;
}

function poolsOf(
  rt: Runtime,
  call: Call,
  { tried, unfetched, pairs }: Tries,
  { now, isFresh, leftOut }: Looks & { readonly leftOut: ReadonlySet<number> },
): Pools {
  const { maxPrefillsPerWorker: most, fallback } = rt.settings.pd;
  const isOut = leftOut.size > 0 ? (slot: number) => leftOut.has(slot) : undefined;
  const look: Look = { tried, now, isFresh, isFull: isOut };
  const first: Look = {
    ...look,
    stage: 'prefill',
    isFull: most > 0 ? (slot) => leftOut.has(slot) || rt.ledger.own(slot) >= most : isOut,
  };
  // One worker that does all of it is better than a prefill worker that has failed already.
  const view = fallback === 'whole' ? viewOfPool : lookAtPool;
  const others =
    unfetched.length > 0 && viewOfPool(rt, call, { ...first, tried: suspecting(tried, unfetched) });
  const prefill = others && others.eligible > 0 ? others : view(rt, call, first);
  const decode = lookAtPool(rt, call, { ...look, stage: 'decode' });
  const none = prefill.eligible === 0 ? 'no_prefill_worker' : 'no_decode_worker';
  return {
    ...{ prefill, decode },
    otherwise: leftOut.size > 0 ? 'no_pair_ready' : pairs > 0 ? 'pair_failed' : none,
  };
}

function suspecting(tried: ReadonlySet<number>, pairs: readonly WorkerPair[]): ReadonlySet<number> {
  return new Set([...tried, ...pairs.map(({ prefill }) => prefill.slot)]);
}

/** `unready`: two policies have named a pair that cannot hand over now, because of the worker in that slot. */
type PickedAmong = PairPick | WholePick | NoPlan | { readonly kind: 'unready'; readonly slot: number };

function pickAmong(rt: Runtime, call: Call, pools: Pools, peek: boolean): PickedAmong {
  if (pools.prefill.eligible === 0 || pools.decode.eligible === 0)
    return noPair(rt, call, pools, pools.otherwise, peek);
  const within = withinCluster(rt, call, pools);
  const picked = within && pickPairAmong(rt, call, within, peek);
  if (picked === undefined || picked.kind === 'none') return pickPairAmong(rt, call, pools, peek);
  return picked.kind === 'pair' ? { ...picked, decode: { ...picked.decode, method: 'cluster' } } : picked;
}

/**
 * Each half among the workers of the request's cluster that do such a part, where there are any: a cluster may name workers of one kind
 * only. Undefined where there are none of either.
 */
function withinCluster(rt: Runtime, call: Call, pools: Pools): Pools | undefined {
  const [prefill, decode] = [clusterPool(rt, call, pools.prefill), clusterPool(rt, call, pools.decode)];
  if (!prefill && !decode) return undefined;
  return { prefill: prefill ?? pools.prefill, decode: decode ?? pools.decode, otherwise: pools.otherwise };
}

function pickPairAmong(rt: Runtime, call: Call, pools: Pools, peek: boolean): PickedAmong {
  const { prefill, decode } = pools;
  const { pairs } = rt.policies;
  const { pd } = rt.settings;
  const whole = poolFor(rt, call);
  const [first, second] = [
    named(rt, call, 'prefill', prefill, peek),
    named(rt, call, 'decode', decode, peek),
  ];
  if (first === 'nobody' || second === 'nobody') return noPair(rt, call, pools, 'no_pair_ready', peek);
  const { split, pair } = pairs.choose(call.ask, {
    ...{ prefill, decode, whole: clusterPool(rt, call, whole) ?? whole },
    ...{ rule: pd.split, mostTokens: call.maxTokens },
    chosen: { prefill: first?.index, decode: second?.index },
    may: (p, d) => whyUnready(rt, prefill.members[p]!, decode.members[d]!) === undefined,
  });
  if (!pair) {
    const slot = first?.worker.slot ?? second?.worker.slot;
    return slot === undefined ? noPair(rt, call, pools, 'no_pair_ready', peek) : { kind: 'unready', slot };
  }
  const known = { ...splitOf(split), ttftMs: inMs(pair.ttftSeconds) };
  if (!split.split) return { kind: 'whole', split: known };
  const p = first ?? pickOf(rt, { policy: pairs, pool: prefill, choice: pair.prefill });
  const d = second ?? pickOf(rt, { policy: pairs, pool: decode, choice: pair.decode });
  const connector = connectorFor(pd.connector, p.worker, d.worker);
  return { kind: 'pair', prefill: p, decode: d, connector, split: known };
}

/** Who chooses for one half; undefined: the cost of pairs does. */
export function policyOf(rt: Runtime, { halves, model }: Call, stage: PdStage): Policy | undefined {
  const settled = halves?.[stage] ?? rt.policies.stage(stage, model);
  return settled === 'pair_cost' ? undefined : settled;
}

/** Who chooses for its halves is settled from now on: a policy that is switched meanwhile is for other requests. */
export function settleHalves(rt: Runtime, call: Call): Call {
  if (!mayPair(rt, call)) return call;
  const of = (stage: PdStage): Policy | 'pair_cost' => policyOf(rt, call, stage) ?? 'pair_cost';
  return { ...call, halves: { prefill: of('prefill'), decode: of('decode') } };
}

/** Whom the stage's own policy chooses; undefined: it has none. */
function named(
  rt: Runtime,
  call: Call,
  stage: PdStage,
  pool: PoolView,
  peek: boolean,
): Picked | 'nobody' | undefined {
  const own = policyOf(rt, call, stage);
  const policy = isClusterPool(pool) ? policyWithin(rt, own) : own;
  return policy && (pickBy(rt, call, { policy, pool, peek }) ?? 'nobody');
}

/** Undefined: they can hand over. */
function whyUnready(rt: Runtime, prefill: Worker, decode: Worker): string | undefined {
  const { connector, maxTransfersPerPair: most, fallback } = rt.settings.pd;
  if (most > 0 && rt.transfers.between(prefill, decode) >= most)
    return `as many transfers go on from ${prefill.id} to ${decode.id} as may`;
  if (fallback === 'whole' && rt.pairRests.isResting(prefill, decode))
    return `blocks did not come from ${prefill.id} to ${decode.id} lately`;
  return connectorFor(connector, prefill, decode).unready({ prefill, decode });
}

/** Of the first pair, of those that might be chosen, that cannot hand over. */
function whyNoneReady(rt: Runtime, { prefill, decode }: Pools): string | undefined {
  const p = prefill.members.find((_, index) => prefill.mask[index] === EXCLUDED.no);
  const d = decode.members.find((_, index) => decode.mask[index] === EXCLUDED.no);
  return p && d && whyUnready(rt, p, d);
}

function splitOf({ split, reason, pairSeconds, wholeSeconds }: SplitChoice): Split {
  return { isSplit: split, reason, pairMs: inMs(pairSeconds), wholeMs: inMs(wholeSeconds) };
}

function inMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

function wholeFor(reason: WhySplit): WholePick {
  return { kind: 'whole', split: { isSplit: false, reason } };
}

/** Of a request that is only talked about nothing is counted. */
function noPair(rt: Runtime, call: Call, pools: Pools, reason: WhySplit, peek: boolean): WholePick | NoPlan {
  const { prefill, decode } = pools;
  const unready = reason === 'no_pair_ready' ? whyNoneReady(rt, pools) : undefined;
  if (!peek) {
    rt.metrics.pdErrorsTotal.with('server_selection').inc();
    if (unready !== undefined && rt.pairsSaid.isDue(unready))
      rt.log.warn({ reason: unready }, 'no pair of workers can hand over');
  }
  if (mayFallBack(rt, call)) return { kind: 'whole', split: { isSplit: false, reason, unready } };
  return { kind: 'none', pool: decode.eligible === 0 ? decode : prefill };
}

/** Takes leases and permits of both. Undefined where a trial place was lost. */
export function takePair(
  rt: Runtime,
  call: Call,
  { prefill, decode, connector }: PairPick,
  moment: { readonly now: number; readonly isLast: boolean },
): { readonly prefill: PairLeg; readonly leg: Leg; readonly prediction: Prediction } | undefined {
  const prediction = predict(rt, call, prefill);
  const { promptTokens, uncachedTokens } = prediction;
  // Its answer comes with its first token, by which its speed is learnt as from a stream.
  const load = { prefillTokens: uncachedTokens, kvTokens: promptTokens, stream: true };
  const first = take(rt, prefill, load, moment);
  if (!first) return undefined;
  // It computes nothing of the prompt, and shows nothing of its speed.
  const held = { prefillTokens: 0, kvTokens: promptTokens + call.maxTokens, stream: false };
  const second = take(rt, decode, held, moment);
  if (!second) {
    giveBack(first);
    return undefined;
  }
  const decider = (stage: PdStage) => policyOf(rt, call, stage) ?? rt.policies.pairs;
  const there = predict(rt, call, decode);
  const leg = legOf(rt, call, {
    ...{ role: 'decode', picked: decode, taken: second, policy: decider('decode') },
    prediction: { ...there, uncachedTokens: 0 },
  });
  const prefillLeg = legOf(rt, call, {
    ...{ role: 'prefill', picked: prefill, taken: first, policy: decider('prefill') },
    prediction,
  });
  const { uncachedTokens: missingTokens } = there;
  return {
    leg,
    prediction,
    prefill: { leg: prefillLeg, picked: prefill, prediction, connector, missingTokens },
  };
}
