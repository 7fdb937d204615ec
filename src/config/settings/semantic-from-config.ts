import { isDeepStrictEqual } from 'node:util';
import type { CheckProblem } from '../schema/check-problem.ts';
import { parseEmbeddingsUrl } from '../schema/embeddings-url.ts';
import type { Config } from '../schema/schema.ts';
import { semanticKeys, type ClusterEntry } from '../schema/semantic-schema.ts';
import { covers, parseUrlPrefix } from '../schema/url-prefixes.ts';
import { parseWorkerUrl } from '../schema/worker-url.ts';
import { redisFor } from './redis-sections.ts';
import { ms } from './ms.ts';
import type {
  ClusterSettings,
  EmbeddingSettings,
  SemanticCacheSettings,
  SemanticClusterSettings,
  SemanticSettings,
} from './semantic-settings.ts';

/** What an embedding service is asked for that was given none: those that serve one model take any name. */
const ANY_MODEL = 'default';
/** A run of failures that is longer than this has breaks in it that nobody saw. */
const BREAKER_WINDOW_MS = 60_000;
const FAILURES = 5;
const REST_MS = 5000;

/** Compiles what is compared by meaning; it is off where nobody is named who makes vectors. `tls`: of its section of Redis. */
export function semanticSettings(config: Config, tls: RedisTls): SemanticSettings {
  const embeddings = embeddingSettings(config);
  return {
    embeddings,
    clusters: embeddings && clusterSettings(config),
    cache: isNamed(config.semantic_cache) ? cacheSettings(config, tls) : undefined,
  };
}

/** One vector of each request serves both, so that there is one model for both. */
export function semanticProblems({
  semantic_cache: cache,
  semantic_cluster: cluster,
}: Config): CheckProblem[] {
  if (!isNamed(cache) || cluster.clusters.length === 0) return [];
  const [own, other] = [cluster.embeddings_model, cache.embeddings_model ?? ANY_MODEL];
  if (own === undefined || own === other) return [];
  const message = `expected the model of semantic_cache (${JSON.stringify(other)}), since each request has one vector, got ${JSON.stringify(own)}`;
  return [{ path: ['semantic_cluster', 'embeddings_model'], message }];
}

/** A section that is there and does nothing, or something else than it says. */
export function semanticNotices(config: Config): string[] {
  const { semantic_cache: cache, semantic_cluster: cluster } = config;
  const notices: string[] = [];
  if (!isNamed(cache) && !isDeepStrictEqual(cache, CACHE_DEFAULTS))
    notices.push('semantic_cache has neither embeddings_url nor embeddings_model: it is off');
  if (cluster.clusters.length === 0) return notices;
  const { embeddings_url: url } = cluster;
  if (!isNamed(cluster) && !isNamed(cache))
    return [...notices, 'semantic_cluster has neither embeddings_url nor embeddings_model: it is off'];
  if (isNamed(cache) && url !== undefined && url !== cache.embeddings_url)
    notices.push('semantic_cluster.embeddings_url is not used: vectors are made where semantic_cache says');
  return [...notices, ...emptyClusterNotices(config)];
}

/** Workers may still come through the API, but a cluster without any is a typing error more often than not. */
function emptyClusterNotices(config: Config): string[] {
  const known = [...config.worker_urls.map((url) => ({ url, labels: undefined })), ...config.workers].flatMap(
    ({ url, labels }) => {
      const parsed = parseWorkerUrl(url);
      return parsed.kind === 'ok' ? [{ baseUrl: parsed.address.baseUrl, labels: labels ?? {} }] : [];
    },
  );
  return config.semantic_cluster.clusters.flatMap(({ name, workers, labels: wanted }, index) => {
    const pairs = Object.entries(wanted);
    const isMember = ({ baseUrl, labels }: (typeof known)[number]): boolean =>
      workers.some((url) => {
        const prefix = parseUrlPrefix(url.replace(/@\d+$/, ''));
        return prefix !== undefined && covers(prefix, baseUrl);
      }) ||
      (pairs.length > 0 && pairs.every(([label, value]) => labels[label] === value));
    if (known.length === 0 || known.some(isMember)) return [];
    return [
      `semantic_cluster.clusters[${index}]: no worker of this configuration belongs to ${JSON.stringify(name)}`,
    ];
  });
}

const CACHE_DEFAULTS = semanticKeys.semantic_cache.parse({});

type Section = Pick<Config['semantic_cache'], 'embeddings_url' | 'embeddings_model'>;

/** Whether somebody is named who makes vectors. */
function isNamed({ embeddings_url: url, embeddings_model: model }: Section): boolean {
  return url !== undefined || model !== undefined;
}

function embeddingSettings(config: Config): EmbeddingSettings | undefined {
  const { semantic_cache: cache, semantic_cluster: cluster, disable_circuit_breaker: noBreaker } = config;
  const section = isNamed(cache) ? cache : cluster;
  if (!isNamed(section) || (section === cluster && cluster.clusters.length === 0)) return undefined;
  const { embeddings_url: url, embeddings_model: model, embeddings_api_key: apiKey } = section;
  const address = url === undefined ? undefined : parseEmbeddingsUrl(url);
  return {
    address: address && {
      ...address,
      authorization: apiKey === undefined ? address.authorization : `Bearer ${apiKey}`,
    },
    model: model ?? ANY_MODEL,
    timeoutMs: section.embedding_timeout_ms,
    breaker: {
      enabled: !noBreaker,
      failureThreshold: FAILURES,
      successThreshold: 1,
      openMs: REST_MS,
      windowMs: BREAKER_WINDOW_MS,
      halfOpenTrials: 1,
    },
  };
}

type RedisTls = Parameters<typeof redisFor>[2];

function cacheSettings(config: Config, tls: RedisTls): SemanticCacheSettings {
  const { semantic_cache: cache, shared_state: shared } = config;
  return {
    redis: cache.redis && redisFor('semantic_cache', config, tls),
    secret: shared?.secret,
    threshold: cache.threshold,
    maxEntries: cache.max_entries,
    maxBytes: cache.max_bytes,
    maxEntryBytes: cache.max_entry_bytes,
    ttlMs: ms(cache.ttl_secs),
    compared: cache.compare,
    maxChars: cache.max_chars,
  };
}

function clusterSettings({ semantic_cluster: cluster }: Config): SemanticClusterSettings | undefined {
  if (cluster.clusters.length === 0) return undefined;
  return {
    threshold: cluster.threshold,
    within: cluster.within,
    timeoutMs: cluster.embedding_timeout_ms,
    clusters: cluster.clusters.map(clusterOf),
  };
}

function clusterOf({ name, examples, workers, labels }: ClusterEntry): ClusterSettings {
  return {
    ...{ name, examples, labels },
    prefixes: workers.flatMap((url) => parseUrlPrefix(url) ?? []),
    ids: workers.flatMap((url) => {
      const parsed = parseWorkerUrl(url);
      if (parsed.kind === 'bad' || parsed.address.rank === undefined) return [];
      return [`${parsed.address.baseUrl}@${parsed.address.rank}`];
    }),
  };
}
