import type { WorkerRole } from '../../config/settings/settings.ts';
import { runScenario, type Contender, type Row } from '../fleet/experiment.ts';
import type { CacheKnowledge, FleetPlan, WorkerPlan } from '../fleet/fleet-plan.ts';
import { oracleHitRates, type Oracle } from '../fleet/oracle.ts';
import { MODEL_DEFAULTS, type ModelSettings } from '../../sim/engine/model-settings.ts';
import { generateTrace } from '../traces/generators.ts';
import { spreadArrivals } from '../traces/spread.ts';
import type { Trace } from '../traces/trace.ts';
import { engineCount, type SimulateOptions } from './options.ts';

/** One comparison of all policies: the same trace, fleet and arrival rate. */
export interface Study {
  readonly speed: number;
  readonly trace: Trace;
  readonly oracle: Oracle;
  readonly rows: readonly Row[];
}

export interface StudyProgress {
  readonly done: number;
  readonly speed: number;
  readonly contender: string;
}

const GENERATED_REQUESTS = 10_000;

/** Runs everything that was asked for; yields now and then. `recorded` = the trace file's, undefined to generate one. */
export function* runStudies(
  options: SimulateOptions,
  contenders: readonly Contender[],
  recorded: Trace | undefined,
): Generator<StudyProgress, readonly Study[]> {
  const traces = new Map<number, Trace>();
  const traceOf = (seed: number): Trace => {
    const known = traces.get(seed);
    if (known) return known;
    const trace = makeTrace(options, recorded, seed);
    traces.set(seed, trace);
    return trace;
  };
  const seeds = Array.from({ length: options.seeds }, (_, index) => index + 1);
  let oracle: Oracle | undefined;
  const studies: Study[] = [];
  for (const [index, speed] of options.speeds.entries()) {
    const trace = traceOf(1);
    const fleet = fleetOf(options, trace, speed);
    const blocks = fleet.workers.reduce((sum, { settings }) => sum + settings.blocks + settings.cpuBlocks, 0);
    // Before the runs, so that its memory is theirs again.
    oracle ??= meanOracle(seeds.map((seed) => oracleHitRates(traceOf(seed), blocks)));
    const steps = runScenario({
      ...{ contenders, seeds, traceOf, fleet },
      objective: { ttftMs: options.ttftMs, tpotMs: options.tpotMs },
    });
    let step = steps.next();
    for (; !step.done; step = steps.next())
      yield { ...step.value, speed, done: (index + step.value.done) / options.speeds.length };
    studies.push({ speed, trace, rows: step.value, oracle });
  }
  return studies;
}

/** Of the traces of all seeds, as the hit rates beside it are. It does not depend on the speed. */
function meanOracle(oracles: readonly Oracle[]): Oracle {
  const mean = (pick: (oracle: Oracle) => number): number =>
    oracles.reduce((sum, one) => sum + pick(one), 0) / oracles.length;
  return { oneCache: mean((one) => one.oneCache), unlimited: mean((one) => one.unlimited) };
}

function makeTrace(options: SimulateOptions, recorded: Trace | undefined, seed: number): Trace {
  if (recorded) {
    const spread = spreadArrivals(recorded, seed);
    return options.requests === undefined
      ? spread
      : { ...spread, requests: spread.requests.slice(0, options.requests) };
  }
  const { generator = 'poisson_chats', ratePerSecond, requests = GENERATED_REQUESTS } = options;
  return generateTrace(generator, { requests, ratePerSecond, seed });
}

function fleetOf(
  options: SimulateOptions,
  { blockSize }: Trace,
  speed: number,
): Omit<FleetPlan, 'policy' | 'pairs' | 'seed'> {
  const { routers, shareIntervalMs, pollIntervalMs, pollDelayMs, kvTokens, workerSpeeds, kills, joins } =
    options;
  const there = engineCount(options) - joins.length;
  const blocks = Math.max(1, Math.floor(kvTokens / blockSize));
  const settingsOf = (index: number): ModelSettings => {
    const factor = workerSpeeds[index % workerSpeeds.length] ?? 1;
    return {
      ...MODEL_DEFAULTS,
      ...{ blockSize, blocks, maxModelLen: blocks * blockSize },
      cpuBlocks: Math.floor(options.cpuTokens / blockSize),
      cpuLoadTokensPerSecond: options.cpuLoadRate,
      prefillTokensPerSecond: options.prefillRate * factor,
      decodeBaseMs: options.decodeBaseMs / factor,
      decodePerRequestMs: options.decodePerRequestMs / factor,
    };
  };
  const plans = Array.from({ length: there + joins.length }, (_, index): WorkerPlan => {
    const kill = kills.find(({ worker }) => worker === index + 1);
    const joinsAtMs = joins[index - there];
    return {
      settings: settingsOf(index),
      role: roleOf(options, index),
      ...(kill && { diesAtMs: kill.atMs }),
      ...(joinsAtMs === undefined ? {} : { joinsAtMs }),
    };
  });
  return {
    transferTokensPerSecond: (1e9 / 8) * (options.linkGbits / options.kvBytesPerToken),
    ...{ workers: plans, routers, shareIntervalMs, pollIntervalMs, pollDelayMs, speed },
    cache: knowledgeOf(options, blocks),
    slowStartMs: 30_000,
  };
}

/** Those that serve whole requests are first, those that compute prompts next. Who joins is of the first kind that there is, of those that answer. */
function roleOf({ workers, prefill, decode }: SimulateOptions, index: number): WorkerRole {
  if (index < workers) return 'regular';
  if (index < workers + prefill) return 'prefill';
  return index < workers + prefill + decode || workers === 0 ? 'decode' : 'regular';
}

function knowledgeOf(
  { knowledge, eventDelayMs, eventLoss, eventReplay, eventJoinMs, silentWorkers }: SimulateOptions,
  blocks: number,
): CacheKnowledge {
  switch (knowledge) {
    case 'predicted':
      return { source: 'predicted', maxBlocksPerWorker: blocks };
    case 'exact':
      return { source: 'exact' };
    case 'events':
      return {
        ...{ source: 'events', maxBlocksPerWorker: blocks, silentWorkers },
        ...{ delayMs: eventDelayMs, loss: eventLoss, replays: eventReplay, joinsAtMs: eventJoinMs },
      };
  }
}
