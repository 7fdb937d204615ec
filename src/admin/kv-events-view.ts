import * as z from 'zod';
import type { RankReport } from '../cache-knowledge/events/rank-events.ts';
import type { WorkerEventsView } from '../cache-knowledge/index-thread/event-watch.ts';
import { STATES } from '../cache-knowledge/exact/exact-memory.ts';

const state = z.enum(STATES);

const rankView = z.strictObject({
  rank: z.int(),
  state,
  coverage: z.enum(['whole', 'partial']).meta({
    description:
      'partial: what was cached before some of its messages were lost, or before the router came, is not known',
  }),
  endpoint: z.string().nullable().meta({ description: 'null where its publisher connects to the router' }),
  replay_endpoint: z.string().nullable(),
  reason: z.string().nullable().meta({ description: 'Why there is no connection' }),
  last_event_age_secs: z
    .number()
    .nullable()
    .meta({ description: 'Since the last message; an engine that computes nothing new sends none' }),
  sequence: z.int().nullable().meta({ description: 'Number of the last message' }),
  batches: z.int(),
  stored: z.int().meta({ description: 'Blocks' }),
  removed: z.int(),
  cleared: z.int().meta({ description: 'Times that its cache was emptied' }),
  gaps: z.int().meta({ description: 'Times that numbers were missing' }),
  restarts: z.int().meta({ description: 'Times that they began anew' }),
  malformed: z.int(),
  parked_bytes: z.int().meta({ description: 'Events that wait for the block before theirs' }),
});

/** The cache events of a worker, as they are received. */
export const kvEventsView = z.strictObject({
  state: state.meta({
    description:
      'none: nobody listens. connecting: nothing is known yet. live: what it has cached is known. lost: it was. Where not live, its cache is predicted',
  }),
  reason: z.string().nullable().meta({ description: 'Why it is not live, where that is known' }),
  ranks: z.array(rankView),
});

export function showKvEvents({ state, reason, ranks }: WorkerEventsView): z.output<typeof kvEventsView> {
  return { state, reason: reason ?? null, ranks: ranks.map(showRank) };
}

function showRank(rank: RankReport): z.output<typeof rankView> {
  const { batches, stored, removed, cleared, gaps, restarts, malformed } = rank.counts;
  return {
    rank: rank.rank,
    ...{ state: rank.state, coverage: rank.coverage },
    endpoint: rank.endpoint ?? null,
    replay_endpoint: rank.replayEndpoint ?? null,
    reason: rank.reason ?? null,
    last_event_age_secs: rank.ageMs === undefined ? null : Math.round(rank.ageMs) / 1000,
    sequence: rank.lastSeq ?? null,
    ...{ batches, stored, removed, cleared, gaps, restarts, malformed },
    parked_bytes: rank.parkedBytes,
  };
}
