import type { Fidelity } from './modelled.ts';
import type { ReplayStudy } from './replay-study.ts';

/** Everything the tables show, as a JSON value. Durations in ms, shares from 0 to 1. */
export function replayJson({ log, candidates, modelled, notes, ...study }: ReplayStudy): object {
  return {
    records: study.records,
    replayed: log.requests.length,
    rejected_share: study.rejectedShare,
    duration_ms: study.duration,
    policies: Object.fromEntries(study.policies),
    workers: log.workers,
    recorded_per_worker: study.perWorker,
    configs: candidates.map(({ candidate, redecided }) => ({
      config: candidate.name,
      same: redecided.same,
      different: redecided.different,
      none: redecided.none,
      per_worker: redecided.perWorker,
      changes: redecided.changes.map((change) => ({
        timestamp: change.timestamp,
        request_id: change.requestId,
        recorded: change.recorded,
        recorded_reason: change.recordedReason,
        recorded_score: change.recordedScore,
        chosen: change.chosen,
        reason: change.reason,
        chosen_score: change.chosenScore,
      })),
    })),
    model: modelled && {
      ttft: fidelityOf(modelled.ttft),
      e2e: fidelityOf(modelled.e2e),
      speeds: modelled.fit && { all: modelled.fit.pooled, per_worker: modelled.fit.perWorker },
      placements: modelled.rows.map(({ name, summary }) => ({
        placement: name,
        hit_rate: summary.hitRate,
        ttft_ms: summary.ttftMs,
        tpot_ms: summary.tpotMs,
        e2e_ms: summary.e2eMs,
        good_share: summary.goodShare,
        goodput_per_second: summary.goodput,
        rejected_share: summary.rejectedShare,
        busiest_to_mean: summary.busiestToMean,
        gini: summary.gini,
      })),
    },
    notes,
  };
}

function fidelityOf({ requests, medianError, rankCorrelation }: Fidelity): object {
  return { requests, median_error: medianError, rank_correlation: rankCorrelation };
}
