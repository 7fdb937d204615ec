import type { Trace } from '../traces/trace.ts';
import type { RunResult } from './simulation.ts';

/** What a client is promised; a request that keeps both counts as good. */
export interface Objective {
  readonly ttftMs: number;
  /** Time per output token after the first, ms. */
  readonly tpotMs: number;
}

export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** One run in numbers. Shares are fractions of all requests of the trace. */
export interface Summary {
  readonly requests: number;
  /** Cached share of all prompt tokens. */
  readonly hitRate: number;
  readonly ttftMs: Quantiles;
  readonly tpotMs: Quantiles;
  readonly e2eMs: Quantiles;
  /** Share that kept the objective. */
  readonly goodShare: number;
  /** Requests per second that kept the objective, over the run. */
  readonly goodput: number;
  /** Share that got no answer. */
  readonly rejectedShare: number;
  /** Tokens computed by the busiest worker over the mean of all. */
  readonly busiestToMean: number;
  /** Gini coefficient of the tokens computed per worker: 0 = all alike. */
  readonly gini: number;
  readonly preemptions: number;
  /** Share that went through a prefill and a decode engine; NaN where none could. */
  readonly splitShare: number;
  /** Mean of |predicted - actual| over the prompt's length, where the policy looked. */
  readonly hitPredictionError: number;
  readonly durationSecs: number;
}

export function summarise(
  trace: Trace,
  result: Pick<RunResult, 'outcomes' | 'computedTokens' | 'durationMs' | 'preemptions' | 'hasPairs'>,
  objective: Objective,
): Summary {
  const { outcomes, computedTokens } = result;
  const { requests } = trace;
  const tpot = new Float64Array(requests.length).fill(NaN);
  let promptTokens = 0;
  let cachedTokens = 0;
  let good = 0;
  let answered = 0;
  let missed = 0;
  let looked = 0;
  for (const [place, request] of requests.entries()) {
    promptTokens += request.promptTokens;
    const endToEnd = outcomes.e2eMs[place] ?? NaN;
    if (Number.isNaN(endToEnd)) continue;
    answered += 1;
    const cached = outcomes.cachedTokens[place] ?? 0;
    cachedTokens += cached;
    const predicted = outcomes.predictedTokens[place] ?? NaN;
    if (!Number.isNaN(predicted)) {
      looked += 1;
      missed += Math.abs(predicted - cached) / request.promptTokens;
    }
    // Without an answer's tokens the end is the first that a client sees.
    const first = request.outputTokens === 0 ? endToEnd : (outcomes.ttftMs[place] ?? NaN);
    const perToken = request.outputTokens > 1 ? (endToEnd - first) / (request.outputTokens - 1) : 0;
    if (request.outputTokens > 1) tpot[place] = perToken;
    if (first <= objective.ttftMs && perToken <= objective.tpotMs) good += 1;
  }
  const durationSecs = result.durationMs / 1000;
  return {
    requests: requests.length,
    hitRate: promptTokens === 0 ? 0 : cachedTokens / promptTokens,
    ttftMs: quantiles(outcomes.ttftMs),
    tpotMs: quantiles(tpot),
    e2eMs: quantiles(outcomes.e2eMs),
    goodShare: requests.length === 0 ? 0 : good / requests.length,
    goodput: durationSecs === 0 ? 0 : good / durationSecs,
    rejectedShare: requests.length === 0 ? 0 : 1 - answered / requests.length,
    ...spread(computedTokens),
    preemptions: result.preemptions,
    splitShare: result.hasPairs ? shareOf(outcomes.prefill, (engine) => engine >= 0) : NaN,
    hitPredictionError: looked === 0 ? NaN : missed / looked,
    durationSecs,
  };
}

/** Of the numbers that are there; NaN where none is. Nearest rank. */
export function quantiles(values: Float64Array): Quantiles {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  const at = (share: number): number =>
    sorted[Math.max(0, Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1))] ?? NaN;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

function shareOf(values: Int32Array, holds: (value: number) => boolean): number {
  let count = 0;
  for (const value of values) if (holds(value)) count += 1;
  return values.length === 0 ? 0 : count / values.length;
}

function spread(work: readonly number[]): Pick<Summary, 'busiestToMean' | 'gini'> {
  const sorted = [...work].sort((left, right) => left - right);
  const total = sorted.reduce((sum, value) => sum + value, 0);
  if (total === 0) return { busiestToMean: 1, gini: 0 };
  const weighted = sorted.reduce(
    (sum, value, index) => sum + (2 * (index + 1) - sorted.length - 1) * value,
    0,
  );
  return {
    busiestToMean: ((sorted.at(-1) ?? 0) * sorted.length) / total,
    gini: weighted / (sorted.length * total),
  };
}
