import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { Roster } from '../workers/roster.ts';
import type { IndexBounds } from '../cache-knowledge/predicted-index.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import { policyNamed } from '../config/settings/policy-named.ts';
import type { Settings } from '../config/settings/settings.ts';
import { Policies, type PoliciesDeps } from '../request/choose/policies.ts';
import { BYTES_PER_BLOCK } from '../routing/prompt-hash.ts';
import type { OpenEvents } from './open-events.ts';
import { openIndexFor } from './open-index.ts';
import type { OpenLmcache } from './open-lmcache.ts';

/** The policies of this thread, and what they know of caches. */
export function openPolicies(
  settings: Settings,
  deps: {
    readonly part: ThreadPart;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    readonly ledger: LoadLedger;
    readonly metrics: Metrics;
    readonly registry: Roster;
    readonly lmcache: OpenLmcache;
    readonly events: OpenEvents;
    readonly plugins: KnownPlugins;
    readonly shareFor: PoliciesDeps['shareFor'];
    readonly prefixesFor: NonNullable<PoliciesDeps['prefixesFor']>;
    readonly guard: Pick<PoliciesDeps, 'onPluginTrouble' | 'overruns'>;
    readonly inForce: () => Settings;
    readonly onRouted: Parameters<typeof openIndexFor>[1]['onRouted'];
  },
): Policies {
  const { clock, random, log, ledger, registry, metrics, shareFor, inForce } = deps;
  return new Policies(settings, {
    ...{ loads: ledger, clock, random, registry, lmcache: deps.lmcache.knowledge, exact: deps.events.caches },
    ...openIndexFor(deps, {
      ...{ registry, metrics, onRouted: deps.onRouted, bounds: () => indexBounds(inForce()) },
    }),
    ...{ ...(shareFor && { shareFor }), prefixesFor: deps.prefixesFor },
    named: (name) => policyNamed(name, inForce(), deps.plugins),
    ...deps.guard,
    onNotice: (worker, notice) => log.warn({ worker: worker.id }, notice),
  });
}

export function indexBounds({ cacheIndex }: Settings): IndexBounds {
  return {
    maxBytes: cacheIndex.maxBytes,
    maxBlocksPerWorker: Math.max(1, Math.floor(cacheIndex.maxCharsPerWorker / BYTES_PER_BLOCK)),
    idleMs: cacheIndex.idleTtlMs,
  };
}
