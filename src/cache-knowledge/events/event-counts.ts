import type { DropReason } from './kv-event.ts';

/** How a replay went; the label of the counter. */
export const REPLAY_OUTCOMES = [
  /** Everything from the number that was asked for. */
  'complete',
  /** The beginning was no longer there. */
  'partial',
  /** Some were lost on the way: a ROUTER drops what its peer does not take fast enough. The rest is asked for again. */
  'torn',
  /** No connection, or it ended before the answer did. */
  'failed',
  /** No answer in time, or none that ended. */
  'timeout',
] as const;
export type ReplayOutcome = (typeof REPLAY_OUTCOMES)[number];

/** What could be read and was not used; the label of the counter. */
export const UNUSED_REASONS = [
  /** Blocks behind one that is not known, which did not become known in time. */
  'unknown_parent',
  /** Moved to another tier, without their tokens, and not known. */
  'unknown_block',
  /** Blocks of another size than the first ones. */
  'block_size',
  /** No room in the index. */
  'full',
  /** A batch of another rank than the first one. */
  'wrong_rank',
  /** Published for a model that the worker does not serve. */
  'wrong_model',
  /** Of a publisher whose topic names no worker that is here. */
  'unknown_worker',
  /** A message of other frames than a topic, a number and a payload. */
  'misframed',
  /** Messages that came while others before them were missing, and found no room to wait: they are asked for again. */
  'not_held',
] as const;
export type UnusedReason = (typeof UNUSED_REASONS)[number];

/** Totals since the beginning. */
export interface EventCounts {
  batches: number;
  /** Blocks stored and removed, and caches cleared. */
  stored: number;
  removed: number;
  cleared: number;
  /** Times that numbers were missing, and that they began again. */
  gaps: number;
  restarts: number;
  /** Batches that could not be read. */
  malformed: number;
  readonly replays: Record<ReplayOutcome, number>;
  readonly dropped: Record<DropReason | UnusedReason, number>;
  /** Ends of connections, by cause. */
  readonly ends: Record<string, number>;
}

export function noCounts(): EventCounts {
  return {
    ...{ batches: 0, stored: 0, removed: 0, cleared: 0, gaps: 0, restarts: 0, malformed: 0 },
    replays: { complete: 0, partial: 0, torn: 0, failed: 0, timeout: 0 },
    dropped: {
      ...{ unknown_type: 0, other_group: 0, misshapen: 0 },
      ...{ unknown_parent: 0, unknown_block: 0, block_size: 0, full: 0 },
      ...{ wrong_rank: 0, wrong_model: 0, unknown_worker: 0, misframed: 0, not_held: 0 },
    },
    ends: {},
  };
}
