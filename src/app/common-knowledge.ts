import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { SharedStateSettings } from '../config/settings/shared-state-settings.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { sealed, unsealed } from '../redis/sealed-value.ts';
import { MOST_OWNER_BYTES, OwnersOfReplicas } from '../request/choose/replicas-owners.ts';
import type { OwnersElsewhere } from '../request/choose/resource-owners.ts';
import { PinsOfReplicas, type PinsBus, type ReplicaPin } from '../routing/replicas-pins.ts';
import { MadeFrom } from './made-from.ts';
import { openPrefixes, type OpenPrefixes } from './open-prefixes.ts';
import { openStores, type Stores } from './open-stores.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What this thread keeps in Redis or Valkey for other routers, and what it has from them. */
export interface Sharing {
  readonly stores: Stores;
  readonly prefixes: OpenPrefixes;
  /** Undefined where routers share no state, and in request threads: control speaks for them. */
  readonly owners: () => OwnersElsewhere | undefined;
  readonly pins: () => PinsOfReplicas | undefined;
  /** Who hears what other routers pin. */
  onPin: (pin: ReplicaPin) => void;
  reconfigure(settings: Settings): void;
  close(): Promise<void>;
}

interface Known {
  readonly owners: OwnersOfReplicas;
  readonly pins: PinsOfReplicas;
  readonly close: () => Promise<void>;
}

export function openCommonKnowledge(settings: Settings, parts: Parts): Sharing {
  const { part } = parts;
  const stores = openStores(parts, part.kind !== 'request');
  const prefixes = openPrefixes(settings.sharedPrefixes, { ...parts, stores });
  const known = new MadeFrom<SharedStateSettings, Known>(
    (shared) => know(shared, parts, sharing),
    ({ close }) => close(),
  );
  const sharing: Sharing = {
    ...{ stores, prefixes },
    owners: () => known.current?.owners,
    pins: () => known.current?.pins,
    onPin: () => undefined,
    reconfigure(next) {
      prefixes.reconfigure(next.sharedPrefixes);
      if (part.kind !== 'request') known.follow(next.sharedState);
    },
    async close() {
      await Promise.all([prefixes.close(), known.close()]);
    },
  };
  if (part.kind !== 'request') known.follow(settings.sharedState);
  return sharing;
}

function know(
  { redis, secret }: SharedStateSettings,
  { clock }: Parts,
  sharing: Pick<Sharing, 'stores' | 'onPin'>,
): Known {
  const { stores } = sharing;
  const values = stores.valuesOf({ redis, secret }, { kind: 'owner', mostBytes: MOST_OWNER_BYTES });
  const pins = new PinsOfReplicas(busOver(values.link, secret, stores.onDiscarded), {
    clock,
    onPin: (pin) => {
      sharing.onPin(pin);
    },
    onUnreadable: () => {
      stores.onDiscarded('pins', 'unreadable');
    },
  });
  return {
    ...{ owners: new OwnersOfReplicas(values), pins },
    close: async () => {
      pins.close();
      await values.link.close();
    },
  };
}

function busOver(
  link: ReturnType<Stores['valuesOf']>['link'],
  secret: string | undefined,
  onDiscarded: Stores['onDiscarded'],
): PinsBus {
  const channel = `${link.keyPrefix}pins`;
  return {
    publish(message) {
      void link.ask((redis) => redis.publish(channel, sealed(channel, message, secret)));
    },
    hear(onMessage, onReady) {
      const take = (bytes: Buffer): void => {
        const opened = unsealed(channel, bytes, secret);
        if (opened.kind === 'value') onMessage(opened.value);
        else onDiscarded('pins', opened.reason);
      };
      link.subscribe(channel, take, onReady);
    },
  };
}
