import type { Study } from './study.ts';

/** Everything the tables show and the single runs behind them, as a JSON value. Durations in ms, shares from 0 to 1. */
export function jsonReport(studies: readonly Study[]): object {
  return {
    studies: studies.map(({ trace, speed, oracle, rows }) => ({
      trace: trace.name,
      requests: trace.requests.length,
      speed,
      oracle_hit_rate: { one_cache: oracle.oneCache, unlimited: oracle.unlimited },
      policies: rows.map(({ contender, runs }) => ({
        policy: contender,
        runs: runs.map((run) => ({
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
          hit_prediction_error: Number.isNaN(run.hitPredictionError) ? null : run.hitPredictionError,
          duration_secs: run.durationSecs,
        })),
      })),
    })),
  };
}
