import { noteDispatch } from '../../cache-knowledge/known-caches.ts';
import type { WorkerRole } from '../../config/settings/settings.ts';
import type { Policy } from '../../routing/policy.ts';
import type { Lease, LeaseAsk } from '../../workers/ledger.ts';
import type { Permit } from '../../workers/permit.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import type { Picked, Prediction } from './pick.ts';

/** What the index knew of the prompt at the worker that was chosen. */
interface Memory {
  /** When the last block was used that the worker is expected to hold of the prompt, as the index has it; undefined where none is. */
  readonly lastUse: number | undefined;
  /** Blocks of its text. */
  readonly blocks: number;
}

/** One worker's part in a request. Its lease and breaker permit are taken with the plan and given back with the attempt. */
export interface Leg extends Memory {
  /** What it does for this request; `regular`: all of it. */
  readonly role: WorkerRole;
  readonly worker: Worker;
  readonly reason: string;
  readonly lease: Lease;
  readonly permit: Permit;
  readonly uncachedTokens: number;
}

export interface Taken {
  readonly lease: Lease;
  readonly permit: Permit;
}

/**
 * Undefined where the worker was on trial, and another thread has taken the place meanwhile.
 * @param isLast It is sent there all the same.
 */
export function take(
  rt: Runtime,
  { worker, pool }: Pick<Picked, 'worker' | 'pool'>,
  load: LeaseAsk,
  { now, isLast }: { readonly now: number; readonly isLast: boolean },
): Taken | undefined {
  const lease = rt.ledger.acquire(worker.slot, load);
  const permit = worker.breaker.permit(now);
  if (permit.admitted || pool.failedOpen || isLast) return { lease, permit };
  giveBack({ lease, permit });
  return undefined;
}

export function giveBack({ lease, permit }: Taken): void {
  permit.cancel();
  lease.release();
}

/** It is going to be sent: the policy and the index learn where the prompt goes. */
export function legOf(
  rt: Runtime,
  call: Call,
  {
    role,
    picked: { worker, reason },
    prediction,
    taken: { lease, permit },
    policy,
  }: {
    readonly role: WorkerRole;
    readonly picked: Picked;
    readonly prediction: Prediction;
    readonly taken: Taken;
    readonly policy: Pick<Policy, 'observe' | 'needs'>;
  },
): Leg {
  const { predictedCachedTokens, uncachedTokens } = prediction;
  worker.processed += 1;
  const { lastUse, blocks } = noteSent(rt, call, worker, policy, prediction);
  policy.observe?.({
    type: 'dispatched',
    ask: call.ask,
    slot: worker.slot,
    matchedTokens: predictedCachedTokens ?? 0,
  });
  return { role, worker, reason, lease, permit, uncachedTokens, lastUse, blocks };
}

/** What the index knew before is kept for when the answer tells what was really there. */
function noteSent(
  { cacheIndex, policies }: Runtime,
  { ask }: Call,
  { slot, generation }: Worker,
  { needs }: Pick<Policy, 'needs'>,
  { promptTokens, predictedCachedTokens = 0 }: Prediction,
): Memory {
  if (!cacheIndex || !needs.cache || promptTokens === 0) return { lastUse: undefined, blocks: 0 };
  const blocks = ask.blocks();
  const lastUse = predictedCachedTokens > 0 ? cacheIndex.lastUse(blocks, slot) : undefined;
  noteDispatch(cacheIndex, ask, { slot, generation, blockSize: policies.blockSizeOf(slot) });
  return { lastUse, blocks: blocks.count };
}
