import { createPolicy } from '../routing/policies/index.ts';
import { knownOptions } from '../request/choose/policy-caches.ts';
import type { CacheKnowledge, FleetPlan, WorkerPlan } from '../simulate/fleet/fleet-plan.ts';
import type { EventChannel } from '../simulate/fleet/followed-engine.ts';
import { Outcomes } from '../simulate/fleet/outcomes.ts';
import { Simulation, type RunResult } from '../simulate/fleet/simulation.ts';
import { summarise, type Objective, type Summary } from '../simulate/fleet/summary.ts';
import { fitModel, type FittedModel, type FleetFit, type ServedRequest } from '../simulate/fit/fit-model.ts';
import { median } from '../simulate/fit/least-squares.ts';
import { MODEL_DEFAULTS } from '../sim/engine/model-settings.ts';
import type { Trace } from '../simulate/traces/trace.ts';
import type { Candidate } from './candidate.ts';
import { recordedPlacement } from './recorded-placement.ts';
import { rankCorrelation } from './rank-correlation.ts';
import type { Replayed, ReplayLog } from './log-trace.ts';

/** How fast the engines are taken to be, where the log does not say or shall not. */
export interface Speeds {
  readonly prefillRate: number | undefined;
  readonly decodeBaseMs: number | undefined;
  readonly decodePerRequestMs: number | undefined;
  readonly kvTokens: number;
}

/** How well the model, under the recorded placement, says what was measured. */
export interface Fidelity {
  readonly requests: number;
  /** Median of |modelled - measured| / measured. */
  readonly medianError: number;
  /** Spearman's: 1 = the same order, 0 = none. */
  readonly rankCorrelation: number;
}

export interface Modelled {
  readonly fit: FleetFit | undefined;
  readonly rows: readonly { readonly name: string; readonly summary: Summary }[];
  /** What the log says, for plots. */
  readonly measured: Outcomes;
  /** The runs behind the rows but the first, for plots. */
  readonly runs: readonly { readonly name: string; readonly result: RunResult }[];
  readonly ttft: Fidelity;
  readonly e2e: Fidelity;
}

/** How engines' events come to a router beside them. */
export const EVENTS: EventChannel = { delayMs: 5, loss: 0, replays: true, joinsAtMs: 0 };
/** Shortest time that an error is taken of, ms: below it, it is jitter. */
const LEAST_MS = 1;

/** Every engine of the log, as the fit or the flags describe it. */
export function fleetOf(log: ReplayLog, fit: FleetFit | undefined, speeds: Speeds): readonly WorkerPlan[] {
  const { blockSize } = log;
  const longest = log.requests.reduce(
    (most, { request }) => Math.max(most, request.promptTokens + request.outputTokens),
    1,
  );
  const blocks = Math.max(1, Math.floor(speeds.kvTokens / blockSize));
  return log.workers.map((id, index) => {
    const found: Partial<FittedModel> = fit?.perWorker[index] ?? fit?.pooled ?? {};
    return {
      id,
      settings: {
        ...MODEL_DEFAULTS,
        ...{ blockSize, blocks, maxModelLen: Math.min(longest, blocks * blockSize) },
        stepTokens: found.stepTokens ?? MODEL_DEFAULTS.stepTokens,
        prefillTokensPerSecond:
          speeds.prefillRate ?? found.prefillTokensPerSecond ?? MODEL_DEFAULTS.prefillTokensPerSecond,
        decodeBaseMs: speeds.decodeBaseMs ?? found.decodeBaseMs ?? MODEL_DEFAULTS.decodeBaseMs,
        decodePerRequestMs:
          speeds.decodePerRequestMs ?? found.decodePerRequestMs ?? MODEL_DEFAULTS.decodePerRequestMs,
      },
    };
  });
}

/** What the log says of the speed of its engines; undefined where it says too little. */
export function fitLog(log: ReplayLog): FleetFit | undefined {
  return fitModel(
    log.requests.flatMap((replayed): ServedRequest[] => {
      const { record, request, worker, ttftMs, e2eMs, modelled } = replayed;
      if (!modelled || Number.isNaN(ttftMs)) return [];
      const uncachedTokens = Math.max(1, request.promptTokens - cachedOf(record));
      return [{ worker, at: request.at, ttftMs, e2eMs, uncachedTokens, outputTokens: request.outputTokens }];
    }),
    log.workers.length,
  );
}

/** Runs the recorded placement and every candidate through the worker model; yields between them. */
export function* modelled(
  log: ReplayLog,
  candidates: readonly Candidate[],
  { fit, speeds, objective }: { fit: FleetFit | undefined; speeds: Speeds; objective: Objective },
): Generator<{ readonly done: number; readonly what: string }, Modelled> {
  const sent = log.requests.filter((replayed) => replayed.modelled);
  const trace: Trace = {
    name: 'decision log',
    requests: sent.map(({ request }) => request),
    blockSize: log.blockSize,
  };
  const workers = fleetOf(log, fit, speeds);
  const measured = measuredOf(sent, log.workers.length);
  const rows = [{ name: 'measured', summary: summarise(trace, measured, objective) }];
  const placement = sent.map(({ worker }) => worker);
  const maxBlocksPerWorker = workers[0]?.settings.blocks ?? 1;
  const predicted: CacheKnowledge = { source: 'predicted', maxBlocksPerWorker };
  const events: CacheKnowledge = { source: 'events', maxBlocksPerWorker, silentWorkers: 0, ...EVENTS };
  const runs: { name: string; policy: FleetPlan['policy']; cache: CacheKnowledge }[] = [
    {
      ...{ name: 'recorded placement', cache: predicted },
      policy: () => recordedPlacement(log.workers, placement),
    },
    ...candidates.map(({ name, policy, hearsEvents }) => ({
      ...{ name, cache: hearsEvents ? events : predicted },
      policy: (deps: Parameters<FleetPlan['policy']>[0]) =>
        createPolicy(policy, { ...deps, cache: deps.cacheFor(knownOptions(policy)) }),
    })),
  ];
  let original: Outcomes | undefined;
  const results: { name: string; result: RunResult }[] = [];
  for (const [index, { name, policy, cache }] of runs.entries()) {
    const simulation = new Simulation(trace, {
      ...{ workers, policy, cache },
      ...{ routers: 1, pollIntervalMs: 0, pollDelayMs: 0, slowStartMs: 0, speed: 1, seed: 1 },
    });
    const steps = simulation.steps();
    let step = steps.next();
    for (; !step.done; step = steps.next())
      yield { done: (index + simulation.progress) / runs.length, what: name };
    const result = step.value;
    addOverhead(result.outcomes, fit?.pooled.overheadMs ?? 0);
    original ??= result.outcomes;
    rows.push({ name, summary: summarise(trace, result, objective) });
    results.push({ name, result });
  }
  const of = (pick: (outcomes: Outcomes) => Float64Array): Fidelity =>
    fidelity(pick(measured.outcomes), original ? pick(original) : new Float64Array(0));
  const plotted = { measured: measured.outcomes, runs: results };
  return { ...plotted, fit, rows, ttft: of(({ ttftMs }) => ttftMs), e2e: of(({ e2eMs }) => e2eMs) };
}

function addOverhead({ ttftMs, e2eMs }: Outcomes, ms: number): void {
  for (let place = 0; place < ttftMs.length; place += 1) {
    ttftMs[place] = (ttftMs[place] ?? NaN) + ms;
    e2eMs[place] = (e2eMs[place] ?? NaN) + ms;
  }
}

function measuredOf(sent: readonly Replayed[], workers: number): Parameters<typeof summarise>[1] {
  const outcomes = new Outcomes(sent.length);
  const computedTokens = new Array<number>(workers).fill(0);
  let durationMs = 0;
  for (const [place, { request, record, worker, ttftMs, e2eMs }] of sent.entries()) {
    outcomes.ttftMs[place] = ttftMs;
    outcomes.e2eMs[place] = e2eMs;
    outcomes.cachedTokens[place] = cachedOf(record);
    outcomes.predictedTokens[place] =
      record.actualCachedTokens === undefined ? NaN : (record.predictedCachedTokens ?? NaN);
    outcomes.worker[place] = worker;
    computedTokens[worker] = (computedTokens[worker] ?? 0) + request.promptTokens - cachedOf(record);
    durationMs = Math.max(durationMs, request.at + e2eMs);
  }
  return { outcomes, computedTokens, durationMs, preemptions: NaN, hasPairs: false };
}

/** What the worker told, else what was expected of it. */
function cachedOf({ actualCachedTokens, predictedCachedTokens = 0 }: Replayed['record']): number {
  return actualCachedTokens ?? predictedCachedTokens;
}

function fidelity(measured: Float64Array, said: Float64Array): Fidelity {
  const pairs = [...measured].flatMap((value, place): [number, number][] => {
    const other = said[place] ?? NaN;
    return Number.isNaN(value) || Number.isNaN(other) ? [] : [[value, other]];
  });
  return {
    requests: pairs.length,
    medianError: median(pairs.map(([value, other]) => Math.abs(other - value) / Math.max(LEAST_MS, value))),
    rankCorrelation: rankCorrelation(pairs),
  };
}
