import { VirtualClock } from '../base/virtual-clock.ts';
import { knownOptions } from '../request/choose/policy-caches.ts';
import { createPolicy } from '../routing/policies/index.ts';
import type { Choice, Pool } from '../routing/policy.ts';
import { SimRouter } from '../simulate/fleet/sim-router.ts';
import type { FleetPlan } from '../simulate/fleet/fleet-plan.ts';
import type { Candidate } from './candidate.ts';
import type { ReplayLog } from './log-trace.ts';
import { recordedPlacement } from './recorded-placement.ts';

/** A request that would have gone elsewhere. */
export interface Change {
  readonly requestId: string | undefined;
  readonly timestamp: string;
  readonly recorded: string;
  readonly recordedReason: string | undefined;
  readonly chosen: string;
  readonly reason: string;
  /** Scores of the two, lower is better; undefined where the policy computes none. */
  readonly recordedScore: number | undefined;
  readonly chosenScore: number | undefined;
}

export interface Redecided {
  readonly same: number;
  readonly different: number;
  /** Requests for which nobody was chosen. */
  readonly none: number;
  /** How many each worker would have got, by its place in the log's list. */
  readonly perWorker: readonly number[];
  /** Spread evenly over the log, at most `MOST_CHANGES`. */
  readonly changes: readonly Change[];
}

export const MOST_CHANGES = 20;

/**
 * Asks the candidate's policy about every request as it came: with the loads and the caches that the recorded placement
 * had led to by then, for as long as the requests took. Its own choices have no effect on later ones.
 */
export function redecide(log: ReplayLog, candidate: Candidate, settings: FleetPlan['workers']): Redecided {
  const clock = new VirtualClock(0);
  const perWorker = log.workers.map(() => 0);
  const places = new Map(log.workers.map((name, index) => [name, index]));
  const changes: Change[] = [];
  let same = 0;
  let none = 0;
  const note = (place: number, choice: Choice, pool: Pool): void => {
    if (choice.kind === 'none') {
      none += 1;
      return;
    }
    const chosen = places.get(pool.members[choice.index]?.id ?? '') ?? -1;
    perWorker[chosen] = (perWorker[chosen] ?? 0) + 1;
    if (chosen === log.requests[place]?.worker) same += 1;
    else changes.push(changeOf(log, place, choice, pool));
  };
  const plan: FleetPlan = {
    workers: settings,
    policy: (deps) =>
      recordedPlacement(
        log.workers,
        log.requests.map(({ worker }) => worker),
        createPolicy(candidate.policy, { ...deps, cache: deps.cacheFor(knownOptions(candidate.policy)) }),
        note,
      ),
    cache: { source: 'predicted', maxBlocksPerWorker: candidate.indexBlocks(log.blockSize) },
    ...{ routers: 1, pollIntervalMs: 0, pollDelayMs: 0, slowStartMs: 0, speed: 1, seed: 1 },
  };
  const router = new SimRouter(
    plan,
    clock,
    { modelOf: () => undefined, eventsOf: () => undefined, busy: () => false },
    plan.seed,
  );
  for (const worker of log.workers) router.join(worker);
  for (const { request, ttftMs, e2eMs } of log.requests) {
    clock.after(request.at, () => {
      const dispatch = router.dispatch(request, new Set());
      if (!dispatch) return;
      if (!Number.isNaN(ttftMs)) clock.after(ttftMs, () => router.firstToken(dispatch));
      clock.after(e2eMs, () => router.release(dispatch, request));
    });
  }
  while (clock.step());
  const step = Math.max(1, Math.ceil(changes.length / MOST_CHANGES));
  return {
    ...{ same, none, perWorker, different: changes.length },
    changes: changes.filter((_, index) => index % step === 0),
  };
}

function changeOf(log: ReplayLog, place: number, choice: Choice & { kind: 'chosen' }, pool: Pool): Change {
  const replayed = log.requests[place];
  const recorded = log.workers[replayed?.worker ?? -1] ?? '';
  const scoreOf = (index: number): number | undefined => {
    const score = choice.scores?.[index] ?? NaN;
    return Number.isNaN(score) ? undefined : score;
  };
  return {
    requestId: replayed?.record.requestId,
    timestamp: new Date(replayed?.record.arrivedAt ?? 0).toISOString(),
    recorded,
    recordedReason: replayed?.record.reason,
    chosen: pool.members[choice.index]?.id ?? '',
    reason: choice.reason,
    recordedScore: scoreOf(pool.members.findIndex(({ id }) => id === recorded)),
    chosenScore: scoreOf(choice.index),
  };
}
