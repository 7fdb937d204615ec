import { CacheProof } from '../cache-knowledge/accuracy/proof.ts';
import { REMEDIES, VERDICTS } from '../cache-knowledge/accuracy/verdicts.ts';
import type { Settings } from '../config/settings/settings.ts';
import { expectedOf } from '../doctor/expected.ts';
import type { Worker } from '../workers/worker.ts';
import type { SharedState } from './shared-state.ts';

type ProofState = Pick<SharedState, 'registry' | 'clock' | 'log' | 'metrics' | 'tallies' | 'settings'>;

/** Every worker is judged by what its answers tell of its cache; a verdict that changes is told once, and shown. */
export function openProof(state: ProofState): CacheProof {
  const { registry, clock, log, metrics, tallies } = state;
  const proof = new CacheProof({
    ...{ registry, clock, tallies },
    eventsOf: (worker) => eventsOf(worker, state.settings),
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
    for (const worker of registry.workers) {
      const current = proof.of(worker)?.verdict.name;
      for (const name of VERDICTS) family.with(worker.id, name).set(name === current ? 1 : 0);
    }
  });
  return proof;
}

/** Missing, where they are wanted and the worker itself says that it publishes none. */
function eventsOf({ eventSources, traits }: Worker, { kvEvents }: Settings): 'unwanted' | 'live' | 'missing' {
  const isWanted = kvEvents.follows === 'all' || traits.kvEvents !== undefined;
  if (!isWanted) return 'unwanted';
  return eventSources?.length === 0 ? 'missing' : 'live';
}
