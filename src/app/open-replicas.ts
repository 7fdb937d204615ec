import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { CacheIndex } from '../cache-knowledge/cache-index.ts';
import type { SharedStateSettings } from '../config/settings/shared-state-settings.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { RedisLink } from '../redis/redis-link.ts';
import type { RedisLinks } from '../redis/redis-links.ts';
import type { OwnPlacement } from '../shared-state/placements.ts';
import { ReplicaExchange, type ReplicaWay } from '../shared-state/replica-exchange.ts';
import { ORIGIN_BYTES } from '../shared-state/replica-message.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { Roster } from '../workers/roster.ts';

export interface ReplicaParts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly registry: Roster;
  readonly ledger: LoadLedger;
  readonly links: RedisLinks;
  /** Those that are in force. */
  readonly settings: () => SharedStateSettings | undefined;
  readonly index: () => CacheIndex | undefined;
}

/** What this router has of its replicas. A request thread has nothing: control speaks for all threads. */
export interface OpenReplicas {
  /** Other replicas, as many as there were when they could be heard last. */
  readonly others: number;
  /** Those that are heard of now. */
  readonly heard: number;
  placed(placement: OwnPlacement): void;
  start(): void;
  reconfigure(): void;
  close(): Promise<void>;
}

const CHANNEL = 'replicas';

export function openReplicas(parts: ReplicaParts): OpenReplicas {
  if (parts.part.kind === 'request') return NOBODY;
  const { metrics, settings } = parts;
  let open: Open | undefined;
  let started = false;
  const follow = async (): Promise<void> => {
    const wanted = settings();
    if (!started || isDeepStrictEqual(wanted, open?.settings)) return;
    const before = open;
    open = wanted && openWith(wanted, parts);
    await before?.close();
  };
  metrics.replicas.onCollect((family) => {
    family.with().set(1 + (open?.exchange.others ?? 0));
  });
  metrics.replicaPlacementsDroppedTotal.onCollect((family) => {
    const counter = family.with();
    const dropped = open?.exchange.droppedBlocks ?? 0;
    counter.inc(Math.max(0, dropped - counter.value));
  });
  return {
    get others() {
      return open?.exchange.lastOthers ?? 0;
    },
    get heard() {
      return open?.exchange.others ?? 0;
    },
    placed: (placement) => open?.exchange.placed(placement),
    start: () => {
      started = true;
      void follow();
    },
    reconfigure: () => void follow(),
    close: async () => {
      started = false;
      await open?.close();
      open = undefined;
    },
  };
}

const NOBODY: OpenReplicas = {
  others: 0,
  heard: 0,
  placed: () => undefined,
  start: () => undefined,
  reconfigure: () => undefined,
  close: () => Promise.resolve(),
};

interface Open {
  readonly settings: SharedStateSettings;
  readonly exchange: ReplicaExchange;
  close(): Promise<void>;
}

function openWith(
  settings: SharedStateSettings,
  { links, log, metrics, index, ...parts }: ReplicaParts,
): Open {
  const link = links.open(settings.redis);
  let saidSecret = false;
  const exchange = new ReplicaExchange({
    ...{ clock: parts.clock, registry: parts.registry, ledger: parts.ledger },
    ...{ intervalMs: settings.intervalMs, secret: settings.secret },
    way: overRedis(link),
    origin: randomBytes(ORIGIN_BYTES),
    record: (record) => index()?.hear(record),
    onCounted: (outcome) => {
      metrics.replicaMessagesTotal.with(outcome).inc();
      if (outcome !== 'signature' || saidSecret) return;
      saidSecret = true;
      log.warn({}, 'a replica signs with another shared_state.secret: what it says is dropped');
    },
    onOthers: (others) => {
      log.info({ replicas: 1 + others }, 'replicas of this router that are heard of');
    },
  });
  exchange.start();
  return {
    ...{ settings, exchange },
    close: async () => {
      await exchange.stop();
      await link.close();
    },
  };
}

function overRedis(link: RedisLink): ReplicaWay {
  const channel = link.keyPrefix + CHANNEL;
  return {
    publish: (message, onEnd) => {
      void link
        .ask((redis) => redis.publish(channel, message), 'read')
        .then(({ kind }) => {
          onEnd(kind === 'done');
        });
    },
    subscribe: (onMessage, onReady) => link.subscribe(channel, onMessage, onReady),
  };
}
