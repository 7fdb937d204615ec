import type { EventsSeen } from '../cache-knowledge/accuracy/events-heard.ts';
import { CacheProof } from '../cache-knowledge/accuracy/proof.ts';
import { REMEDIES, VERDICTS } from '../cache-knowledge/accuracy/verdicts.ts';
import { eventWorkerOf } from '../cache-knowledge/events/event-sources.ts';
import { expectedOf } from '../doctor/expected.ts';
import type { Worker } from '../workers/worker.ts';
import type { SharedState } from './shared-state.ts';

type ProofState = Pick<
  SharedState,
  'registry' | 'clock' | 'log' | 'metrics' | 'tallies' | 'settings' | 'openEvents'
>;

/** Every worker is judged by what its answers tell of its cache; a verdict that changes is told once, and shown. */
export function openProof(state: ProofState): CacheProof {
  const { registry, clock, log, metrics, tallies } = state;
  const proof = new CacheProof({
    ...{ registry, clock, tallies },
    eventsOf: (worker) => eventsOf(worker, state),
    expectedBlockSize: () => expectedOf(state.settings).blockSize,
    onVerdict: ({ id }, { name, finding }) => {
      const remedy = REMEDIES[name];
      if (remedy === undefined) log.info({ worker: id }, `its cache is as it is taken to be: ${finding}`);
      else
        log.warn(
          { worker: id, verdict: name, remedy },
          `what is known of its cache may be wrong: ${finding}`,
        );
    },
  });
  metrics.cacheVerdict.onCollect((family) => {
    for (const worker of registry.fleet) {
      const current = proof.of(worker)?.verdict.name;
      for (const name of VERDICTS) family.with(worker.id, name).set(name === current ? 1 : 0);
    }
  });
  return proof;
}

/** What is seen of its events, where any are to be followed: of all workers, of this one, or because it says that it publishes. */
function eventsOf(
  worker: Worker,
  { settings: { kvEvents }, openEvents: { index } }: ProofState,
): EventsSeen | undefined {
  if (kvEvents.follows === 'none') return undefined;
  const { sources } = eventWorkerOf(worker, kvEvents);
  const isWanted = kvEvents.follows === 'all' || worker.traits.kvEvents !== undefined;
  if (!isWanted && sources.length === 0) return undefined;
  const { state = 'none', ranks = [] } = index?.reportOf(worker) ?? {};
  return {
    isUnpublished: sources.length === 0,
    state,
    reason: ranks.find((rank) => rank.state !== 'live' && rank.reason !== undefined)?.reason,
    batches: ranks.reduce((sum, { counts }) => sum + counts.batches, 0),
  };
}
