import type { ModelSettings } from '../../sim/engine/model-settings.ts';
import { fitRelative, median, valueOf, type Equation } from './least-squares.ts';
import { equationsOf, type ServedRequest, type WorkerEquations } from './worker-windows.ts';

export type { ServedRequest };

/** The speed of an engine as its requests show it. */
export interface FittedModel extends Pick<
  ModelSettings,
  'prefillTokensPerSecond' | 'decodeBaseMs' | 'decodePerRequestMs' | 'stepTokens'
> {
  /** What every first token takes beside computing: the way there and back. */
  readonly overheadMs: number;
  readonly prefill: FitError;
  readonly decode: FitError;
}

export interface FitError {
  /** Stretches of time that were explained. */
  readonly windows: number;
  /** Median of |explained - measured| / measured. */
  readonly medianError: number;
  /** Share of the variance that is explained; at most 1. */
  readonly r2: number;
}

export interface FleetFit {
  /** All workers taken as alike. */
  readonly pooled: FittedModel;
  /** By worker; undefined where there is too little to tell. */
  readonly perWorker: readonly (FittedModel | undefined)[];
}

const LEAST_WINDOWS = 40;
/** Shorter times are mostly jitter, ms. */
const FLOOR_MS = 5;
const MS_PER_S = 1000;

/** Tokens per step that engines are usually run with. */
const STEP_TOKENS = [512, 1024, 2048, 4096, 8192, 16_384];

/**
 * Fits every worker by itself and all together; of the usual sizes of a step the one is taken that explains most. Undefined
 * where there are too few requests.
 */
export function fitModel(requests: readonly ServedRequest[], workers: number): FleetFit | undefined {
  const byWorker = Array.from({ length: workers }, (_, worker) =>
    requests.filter((request) => request.worker === worker),
  );
  const fits = STEP_TOKENS.flatMap((stepTokens) => fitWith(byWorker, stepTokens) ?? []);
  // Workers by themselves where they tell enough: of unlike ones taken together every explanation is poor.
  const errorOfFit = ({ pooled, perWorker }: FleetFit): number => {
    const own = perWorker.filter((fit) => fit !== undefined);
    const errors = (own.length > 0 ? own : [pooled]).map(
      ({ prefill, decode }) => prefill.medianError + decode.medianError,
    );
    return errors.reduce((sum, error) => sum + error, 0) / errors.length;
  };
  return fits.toSorted((left, right) => errorOfFit(left) - errorOfFit(right))[0];
}

function fitWith(byWorker: readonly (readonly ServedRequest[])[], stepTokens: number): FleetFit | undefined {
  const equations = byWorker.map((requests) => equationsOf(requests, stepTokens));
  const all = {
    prefill: equations.flatMap(({ prefill }) => prefill),
    decode: equations.flatMap(({ decode }) => decode),
  };
  const pooled = fitEquations(all, stepTokens);
  return pooled && { pooled, perWorker: equations.map((one) => fitEquations(one, stepTokens)) };
}

function fitEquations({ prefill, decode }: WorkerEquations, stepTokens: number): FittedModel | undefined {
  if (prefill.length < LEAST_WINDOWS || decode.length < LEAST_WINDOWS) return undefined;
  const solution = fitRelative([...prefill, ...decode], FLOOR_MS);
  const [perToken = 0, decodeBaseMs = 0, decodePerRequestMs = 0, overheadMs = 0] = solution;
  // Prompts that take no measurable time say nothing of the rate.
  if (!(perToken > 0)) return undefined;
  return {
    ...{ prefillTokensPerSecond: MS_PER_S / perToken, decodeBaseMs, decodePerRequestMs, overheadMs },
    stepTokens,
    prefill: errorOf(prefill, solution),
    decode: errorOf(decode, solution),
  };
}

function errorOf(equations: readonly Equation[], solution: readonly number[]): FitError {
  const mean = equations.reduce((sum, { target }) => sum + target, 0) / equations.length;
  let left = 0;
  let all = 0;
  const errors = equations.map((equation) => {
    const residual = valueOf(equation, solution) - equation.target;
    left += residual ** 2;
    all += (equation.target - mean) ** 2;
    return Math.abs(residual) / Math.max(equation.target, FLOOR_MS);
  });
  return { windows: equations.length, medianError: median(errors), r2: all === 0 ? 0 : 1 - left / all };
}
