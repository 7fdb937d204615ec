import type { ConnectionOptions } from 'node:tls';
import type { RedisSettings } from '../config/settings/redis-settings.ts';
import type { WorkerTls } from '../config/settings/tls.ts';
import { isIP } from 'node:net';
import type { Commands } from './redis-link.ts';

/** How often a command may be sent on by a Cluster whose slots have moved. */
const MOST_REDIRECTIONS = 4;
const CLUSTER_PAUSE_MS = 20;

/**
 * A client that is not connected yet. It never connects again by itself, and holds nothing back for later: a client that has lost its
 * connection is thrown away.
 */
export type Dial = (settings: RedisSettings) => Promise<Commands>;

/** The library is loaded by whoever is configured to need it, and not before. */
export const dialRedis: Dial = async (settings) => {
  const { Cluster, Redis } = await import('ioredis');
  const { server, database, connectMs } = settings;
  const common = commonOptions(settings);
  switch (server.kind) {
    case 'single':
      return new Redis({ ...common, ...server.at, db: database, ...NEVER_AGAIN });
    case 'sentinel': {
      const { sentinels, group: name, username, password } = server;
      return new Redis({
        ...common,
        ...NEVER_AGAIN,
        ...{ sentinels: [...sentinels], name, db: database },
        sentinelRetryStrategy: () => null,
        sentinelCommandTimeout: connectMs,
        ...(username !== undefined && { sentinelUsername: username }),
        ...(password !== undefined && { sentinelPassword: password }),
        ...(common.tls && { enableTLSForSentinelMode: true, sentinelTLS: common.tls }),
      });
    }
    case 'cluster': {
      return new Cluster([...server.nodes], {
        redisOptions: common,
        clusterRetryStrategy: () => null,
        ...{ lazyConnect: true, enableOfflineQueue: false },
        ...{ slotsRefreshTimeout: connectMs, maxRedirections: MOST_REDIRECTIONS },
        ...{ retryDelayOnFailover: CLUSTER_PAUSE_MS, retryDelayOnClusterDown: CLUSTER_PAUSE_MS },
        retryDelayOnTryAgain: CLUSTER_PAUSE_MS,
        // Certificates name hosts; addresses out of CLUSTER SLOTS are dialled as they are.
        dnsLookup: (address, done) => {
          done(null, address);
        },
      });
    }
  }
};

const NEVER_AGAIN = {
  retryStrategy: () => null,
  lazyConnect: true,
  enableOfflineQueue: false,
} as const;

function commonOptions({ server, username, password, tls, connectMs }: RedisSettings) {
  return {
    replyMapping: 'legacy' as const,
    connectTimeout: connectMs,
    // The handshake's own commands; what is asked of a link has a shorter time.
    commandTimeout: connectMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    connectionName: 'vllm-router',
    // It asks INFO, which not every user may. PING does as well, and Sentinels need to know the role.
    enableReadyCheck: server.kind === 'sentinel',
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: tlsOptions(tls) }),
  };
}

function tlsOptions({ ca, cert, key, serverName, verify }: WorkerTls): ConnectionOptions {
  return {
    rejectUnauthorized: verify,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
    ...(serverName !== undefined && isIP(serverName) === 0 && { servername: serverName }),
  };
}
