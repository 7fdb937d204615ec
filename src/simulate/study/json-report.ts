import { over } from '../fleet/experiment.ts';
import type { Summary } from '../fleet/summary.ts';
import { commandLine } from './made-from.ts';
import type { SimulateOptions } from './options.ts';
import type { Study } from './study.ts';

const NUMBERS: Readonly<Record<string, (summary: Summary) => number>> = {
  hit_rate: ({ hitRate }) => hitRate,
  ttft_p50_ms: ({ ttftMs }) => ttftMs.p50,
  ttft_p90_ms: ({ ttftMs }) => ttftMs.p90,
  ttft_p99_ms: ({ ttftMs }) => ttftMs.p99,
  e2e_p50_ms: ({ e2eMs }) => e2eMs.p50,
  e2e_p90_ms: ({ e2eMs }) => e2eMs.p90,
  tpot_p90_ms: ({ tpotMs }) => tpotMs.p90,
  good_share: ({ goodShare }) => goodShare,
  goodput_per_second: ({ goodput }) => goodput,
  rejected_share: ({ rejectedShare }) => rejectedShare,
  busiest_to_mean: ({ busiestToMean }) => busiestToMean,
  split_share: ({ splitShare }) => splitShare,
};

/**
 * Everything the tables show and the single runs behind them, as a JSON value. Durations in ms, shares from 0 to 1, null
 * where there is no number (`plus_minus`: from one seed).
 */
export function jsonReport(studies: readonly Study[], options: SimulateOptions): object {
  return {
    command: commandLine(options),
    studies: studies.map(({ trace, speed, oracle, rows }) => ({
      trace: trace.name,
      requests: trace.requests.length,
      speed,
      oracle_hit_rate: { one_cache: oracle.oneCache, unlimited: oracle.unlimited },
      policies: rows.map((row) => ({
        policy: row.contender,
        means: Object.fromEntries(
          Object.entries(NUMBERS).map(([name, pick]) => {
            const { mean, plusMinus } = over(row, pick);
            return [name, { mean: known(mean), plus_minus: known(plusMinus) }];
          }),
        ),
        runs: row.runs.map(runOf),
      })),
    })),
  };
}

function runOf(run: Summary): object {
  return {
    hit_rate: run.hitRate,
    ttft_ms: run.ttftMs,
    tpot_ms: run.tpotMs,
    e2e_ms: run.e2eMs,
    good_share: run.goodShare,
    goodput_per_second: run.goodput,
    rejected_share: run.rejectedShare,
    busiest_to_mean: run.busiestToMean,
    gini: run.gini,
    preemptions: run.preemptions,
    split_share: known(run.splitShare),
    hit_prediction_error: known(run.hitPredictionError),
    duration_secs: run.durationSecs,
  };
}

function known(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
