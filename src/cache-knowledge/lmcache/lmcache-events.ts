import type { Log } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { BREAKER_STATE_CODES, type BreakerStateName } from '../../workers/breaker.ts';
import type { PollOutcome } from './controller-poll.ts';
import type { Unmapped } from './instance-map.ts';
import type { LookupFailure } from './lookups.ts';

/**
 * What came of asking where a prompt is stored. `miss`: nowhere; `unmapped`: with instances that belong to no worker; `short`: it has
 * less than a chunk, and nobody was asked; `unavailable`: the controller has not answered yet; `nobody`: no instance that it lists belongs
 * to a worker, so that it was not asked.
 */
export type LookupOutcome =
  'hit' | 'miss' | 'unmapped' | 'short' | 'unavailable' | 'nobody' | Exclude<LookupFailure, 'aborted'>;

/** Who hears of what LMCache's controller does. */
export interface LmcacheEvents {
  readonly looked: (outcome: LookupOutcome, durationMs: number) => void;
  /** So many entries of an answer made no sense. */
  readonly unread: (entries: number) => void;
  readonly breaker: (from: BreakerStateName, to: BreakerStateName) => void;
  readonly polled: (outcome: PollOutcome, message: string) => void;
  /** The instances that belong to no worker, now that these are looked at anew. */
  readonly mapped: (unmapped: ReadonlyMap<string, Unmapped>) => void;
}

/** Instances that are told of, each once: a controller that names others with every list would fill the log. */
const MOST_TOLD = 1024;

const NOT_ASKED: ReadonlySet<LookupOutcome> = new Set([
  ...(['short', 'unavailable', 'nobody', 'circuit_open', 'busy'] as const),
]);

const WHY: Readonly<Record<Unmapped, string>> = {
  unmapped: 'no worker is known for it; name one in lmcache.worker_map',
  ambiguous: 'several workers or instances are on its host; name its worker in lmcache.worker_map',
};

/** Shows them in metrics and log. Every state is told once, not every time. */
export function showLmcacheEvents(metrics: Metrics, log: Log): LmcacheEvents {
  let polled: PollOutcome = 'listed';
  const told = new Map<string, Unmapped>();
  return {
    looked(outcome, durationMs) {
      metrics.lmcacheLookupsTotal.with(outcome).inc();
      if (!NOT_ASKED.has(outcome)) metrics.lmcacheLookupDurationSeconds.with().observe(durationMs / 1000);
    },
    unread(entries) {
      metrics.lmcacheUnreadEntriesTotal.with().inc(entries);
    },
    breaker(from, to) {
      metrics.lmcacheCbState.with().set(BREAKER_STATE_CODES[to]);
      metrics.lmcacheCbStateTransitionsTotal.with(from, to).inc();
      log.warn({ from, to }, "circuit breaker of LMCache's controller changed");
    },
    polled(outcome, message) {
      metrics.lmcachePollsTotal.with(outcome).inc();
      if (outcome === polled) return;
      polled = outcome;
      if (outcome === 'listed') log.info({}, "LMCache's controller answers again");
      else if (outcome === 'unlisted') log.warn({}, `LMCache's controller ${message}`);
      else log.warn({ reason: message }, "LMCache's controller does not answer");
    },
    mapped(unmapped) {
      for (const [instance, why] of unmapped) {
        if (told.get(instance) === why || (told.size >= MOST_TOLD && !told.has(instance))) continue;
        told.set(instance, why);
        log.warn({ instance, why }, `LMCache instance left out: ${WHY[why]}`);
      }
    },
  };
}
