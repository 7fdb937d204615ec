import { RouterError } from '../../base/errors.ts';
import { EXCLUDED } from '../../routing/policy.ts';
import type { WorkerWaitOutcome } from '../../workers/worker-wait.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { describeCandidates } from './candidates.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { noWorker } from './no-worker.ts';
import { mayPair } from './pair.ts';
import type { NoPlan } from './pick.ts';
import { stageCounts } from './stage-counts.ts';
import { canPlan } from './plan.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/**
 * No worker can take the request: waits for a change of the workers, where waiting is configured and there is time left
 * for it. Returns when it is worth choosing again; throws what the client is to get otherwise.
 */
export async function waitForWorker(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
  none: NoPlan,
): Promise<void> {
  const leftMs = rt.settings.engineWaitMs - arrival.times.waitMs;
  // A request that no worker matches would hold a place among those in flight for nothing.
  const isHopeless = noWorker(none.pool, call).code === 'no_worker_matches';
  if (leftMs <= 0 || isHopeless) throw refusal(rt, arrival, call, none);
  const entry = rt.workerWait.enter(wishOf(rt, call), leftMs);
  if (entry.kind !== 'waiting') {
    rt.metrics.engineWaitTotal.with(entry.kind === 'full' ? 'full' : 'shutting_down').inc();
    if (entry.kind === 'closed') throw shuttingDown();
    throw refusal(rt, arrival, call, none);
  }
  const from = rt.clock.now();
  let late = false;
  arrival.client.onGone(entry.leave);
  deadline.wakes(() => {
    late = true;
    entry.leave();
  });
  const outcome = await entry.ended;
  arrival.client.onGone(undefined);
  deadline.wakes(undefined);
  // At least what was asked for: a timer may fire a moment early by another clock's measure.
  const waitedMs = rt.clock.now() - from;
  arrival.times.waitMs += outcome === 'timeout' ? Math.max(waitedMs, leftMs) : waitedMs;
  rt.metrics.engineWaitTotal.with(wordOf(outcome, late)).inc();
  if (outcome === 'closed') throw shuttingDown();
  if (outcome !== 'left') return;
  if (late) throw deadline.error();
  throw new RouterError('client_closed', 'the client left while the request waited for a worker');
}

/** The outcomes of the metric. */
function wordOf(outcome: WorkerWaitOutcome, late: boolean): string {
  if (outcome === 'left') return late ? 'deadline' : 'client_left';
  return outcome === 'closed' ? 'shutting_down' : outcome;
}

function wishOf(rt: Runtime, call: Call): Parameters<Runtime['workerWait']['enter']>[0] {
  const { model, filters, resourceId } = call;
  return {
    // Settings may differ between requests that began before and after a reload.
    key: JSON.stringify([
      model,
      filters?.minPriority,
      filters?.maxCost,
      resourceId,
      mayPair(rt, call),
      rt.settings.unknownModel,
    ]),
    canBeServed: () => canPlan(rt, call),
  };
}

function refusal(rt: Runtime, arrival: Arrival, call: Call, { pool }: NoPlan): RouterError {
  const { listed, rest } = describeCandidates(rt, { pool, choice: undefined, index: -1 });
  if (listed.length > 0) arrival.decision.candidates = listed;
  if (rest) arrival.decision.candidates_rest = rest;
  const { code, message } = noWorker(pool, call, stageCounts(rt, call));
  const { waitMs } = arrival.times;
  const waited = waitMs > 0 ? `; waited ${Math.round(waitMs / 100) / 10} s for one` : '';
  return new RouterError(code, message + waited, restOf(rt, pool));
}

/** Where all that there are have to be left alone: until the first of them may be asked. */
function restOf(
  { coolDowns, clock }: Runtime,
  { members, mask }: NoPlan['pool'],
): { retryAfterSecs?: number } {
  if (members.length === 0 || members.some((_, index) => mask[index] !== EXCLUDED.coolingDown)) return {};
  const now = clock.now();
  const leftMs = Math.min(...members.map((worker) => coolDowns.leftMs(worker, now)));
  return { retryAfterSecs: Math.max(1, Math.ceil(leftMs / 1000)) };
}

function shuttingDown(): RouterError {
  return new RouterError('shutting_down', 'the router is shutting down');
}
