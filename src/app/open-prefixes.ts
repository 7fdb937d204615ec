import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { SharedPrefixesSettings } from '../config/settings/shared-prefix-settings.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { SharedValues } from '../redis/shared-values.ts';
import type { PrefixHints } from '../routing/policy.ts';
import {
  OwnPrefixes,
  SharedPrefixes,
  type PrefixOutcome,
  type PrefixTable,
} from '../routing/shared-prefixes.ts';
import { MadeFrom } from './made-from.ts';
import type { Stores } from './open-stores.ts';

interface Parts {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly stores: Stores;
}

/** The table of beginnings, as long as one is configured. Policies are handed one end of it, which stays theirs over reloads. */
export interface OpenPrefixes {
  readonly hintsFor: (scope: string) => PrefixHints | undefined;
  reconfigure(settings: SharedPrefixesSettings | undefined): void;
  close(): Promise<void>;
}

/** Of the name of a worker. */
const MOST_NAME_BYTES = 2048;

interface Made {
  readonly prefixes: SharedPrefixes;
  readonly close: () => Promise<void>;
}

/** Each thread asks and writes by itself; a table in memory is that of one thread. */
export function openPrefixes(settings: SharedPrefixesSettings | undefined, parts: Parts): OpenPrefixes {
  const open = new MadeFrom<SharedPrefixesSettings, Made>(
    (one) => make(one, parts),
    ({ close }) => close(),
  );
  open.follow(settings);
  const hints: PrefixHints = {
    get isOpen() {
      return open.current !== undefined;
    },
    find: (ask) => open.current?.prefixes.find(ask),
    sent: (ask, worker) => open.current?.prefixes.sent(ask, worker),
    stale: () => open.current?.prefixes.stale(),
  };
  return {
    // The workers of halves are told apart by what they do, which names in a table do not say.
    hintsFor: (scope) => (scope === 'prefill' || scope === 'decode' ? undefined : hints),
    reconfigure: (next) => {
      open.follow(next);
    },
    close: () => open.close(),
  };
}

function make(settings: SharedPrefixesSettings, { clock, random, metrics, stores }: Parts): Made {
  const families = {
    hit: metrics.sharedPrefixHitsTotal,
    miss: metrics.sharedPrefixMissesTotal,
    stale: metrics.sharedPrefixStaleTotal,
    write: metrics.sharedPrefixWritesTotal,
  };
  const count = (outcome: PrefixOutcome): void => {
    families[outcome].with().inc();
  };
  const { store, ttlMs, lookupMs } = settings;
  const values = store && stores.valuesOf(store, { kind: 'prefix', mostBytes: MOST_NAME_BYTES });
  const table = values ? tableIn(values, { ttlMs, lookupMs }) : new OwnPrefixes(ttlMs, clock);
  return {
    prefixes: new SharedPrefixes(settings, { table, random, count }),
    close: async () => values?.link.close(),
  };
}

function tableIn(
  values: SharedValues,
  { ttlMs, lookupMs }: { readonly ttlMs: number; readonly lookupMs: number },
): PrefixTable {
  return {
    get: async (key) => (await values.get(key, lookupMs))?.toString(),
    set: (key, worker) => {
      values.set(key, Buffer.from(worker), ttlMs);
    },
  };
}
