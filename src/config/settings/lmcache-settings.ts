import { parseControllerUrl } from '../schema/controller-url.ts';
import type { Config } from '../schema/schema.ts';
import { parseWorkerUrl } from '../schema/worker-url.ts';
import { ms } from './ms.ts';
import type { LmcacheSettings } from './settings.ts';

/** Where LMCache's controller listens unless it is told otherwise. */
const DEFAULT_URL = 'http://localhost:9000';
/** A run of failures that is longer than this has breaks in it that nobody saw. */
const BREAKER_WINDOW_MS = 60_000;

export function lmcacheSettings({ lmcache, disable_circuit_breaker: noBreaker }: Config): LmcacheSettings {
  const address = parseControllerUrl(lmcache.controller_url ?? DEFAULT_URL);
  if (!address) throw new Error('lmcache.controller_url has passed the schema');
  const { base, prefix, authorization } = address;
  const key = lmcache.controller_api_key;
  return {
    base,
    prefix,
    authorization: key === undefined ? authorization : `Bearer ${key}`,
    api: lmcache.controller_api,
    pollIntervalMs: ms(lmcache.poll_interval_secs),
    timeoutMs: lmcache.controller_timeout_ms,
    lookupTimeoutMs: Math.min(lmcache.lookup_timeout_ms, lmcache.controller_timeout_ms),
    workerMap: workersByInstance(lmcache.worker_map),
    chunkSize: lmcache.chunk_size,
    worldSize: lmcache.world_size,
    breaker: {
      enabled: !noBreaker,
      failureThreshold: lmcache.circuit_breaker.failure_threshold,
      successThreshold: 1,
      openMs: ms(lmcache.circuit_breaker.timeout_duration_secs),
      windowMs: BREAKER_WINDOW_MS,
      halfOpenTrials: 1,
    },
    forEveryPolicy: lmcache.controller_url !== undefined,
  };
}

/** URLs as workers are named: normalised, with `@rank` where one was given. */
function workersByInstance(urls: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(urls).flatMap(([instance, url]) => {
      const parsed = parseWorkerUrl(url);
      if (parsed.kind === 'bad') return [];
      const { baseUrl, rank } = parsed.address;
      return [[instance, rank === undefined ? baseUrl : `${baseUrl}@${rank}`] as const];
    }),
  );
}
