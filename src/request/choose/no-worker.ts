import { RouterError } from '../../base/errors.ts';
import { EXCLUDED, EXCLUSION_NAMES } from '../../routing/policy.ts';
import { stageAndModelOf } from '../../workers/model-pools.ts';
import type { PoolView } from '../../workers/pool-view.ts';
import type { Call } from '../understand/read-call.ts';
import type { StageCounts } from './stage-counts.ts';
import { HEADER_MAX_COST, HEADER_WORKER_PRIORITY } from './worker-filters.ts';

/**
 * Says what keeps the workers away: `none of the 3 workers for model "m" can take the request (2 unhealthy, 1 draining)`.
 * @param available Where a pair was to serve the request.
 */
export function noWorker(
  { key, members, mask }: PoolView,
  { filters }: Pick<Call, 'filters'>,
  available?: StageCounts,
): RouterError {
  const { stage, model } = stageAndModelOf(key);
  const workers = stage === 'whole' ? 'worker' : `${stage} worker`;
  const what = model === '' ? '' : ` for model ${JSON.stringify(model.slice(0, LONGEST_SHOWN))}`;
  const counted = available
    ? `; available: ${available.prefill} prefill, ${available.decode} decode workers`
    : '';
  if (members.length === 0)
    return new RouterError('no_worker_available', `no ${workers}${what} is registered${counted}`);
  const counts = new Map<number, number>();
  for (const exclusion of mask) counts.set(exclusion, (counts.get(exclusion) ?? 0) + 1);
  const low = counts.get(EXCLUDED.priority) ?? 0;
  const dear = counts.get(EXCLUDED.cost) ?? 0;
  const who = `none of the ${members.length} ${workers}s${what}`;
  if (filters && low + dear === members.length) {
    const why = [
      ...(low > 0 ? [`${low} below ${HEADER_WORKER_PRIORITY}: ${filters.minPriority}`] : []),
      ...(dear > 0 ? [`${dear} above ${HEADER_MAX_COST}: ${filters.maxCost}`] : []),
    ];
    return new RouterError('no_worker_matches', `${who} matches the request (${why.join(', ')})`);
  }
  const why = Array.from(
    counts,
    ([state, count]) => `${count} ${(EXCLUSION_NAMES[state] ?? '').replace('_', ' ')}`,
  );
  return new RouterError('no_worker_available', `${who} can take the request (${why.join(', ')})${counted}`);
}

/** Clients choose these names. */
const LONGEST_SHOWN = 256;
