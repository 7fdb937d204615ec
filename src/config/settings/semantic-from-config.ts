import { parseEmbeddingsUrl } from '../schema/embeddings-url.ts';
import type { Config } from '../schema/schema.ts';
import type { ClusterEntry } from '../schema/semantic-schema.ts';
import { parseUrlPrefix } from '../schema/url-prefixes.ts';
import { parseWorkerUrl } from '../schema/worker-url.ts';
import type {
  ClusterSettings,
  EmbeddingSettings,
  SemanticClusterSettings,
  SemanticSettings,
} from './semantic-settings.ts';

/** What an embedding service is asked for that was given none: those that serve one model take any name. */
const ANY_MODEL = 'default';
/** A run of failures that is longer than this has breaks in it that nobody saw. */
const BREAKER_WINDOW_MS = 60_000;
const FAILURES = 5;
const REST_MS = 5000;

/** Compiles what is compared by meaning; it is off where nobody is named who makes vectors. */
export function semanticSettings(config: Config): SemanticSettings {
  const embeddings = embeddingSettings(config);
  return { embeddings, clusters: embeddings && clusterSettings(config) };
}

/** A section that is there and does nothing. */
export function semanticNotices({ semantic_cluster: cluster }: Config): string[] {
  const { embeddings_url: url, embeddings_model: model, clusters } = cluster;
  if (clusters.length > 0 && url === undefined && model === undefined)
    return ['semantic_cluster has neither embeddings_url nor embeddings_model: it is off'];
  return [];
}

function embeddingSettings(config: Config): EmbeddingSettings | undefined {
  const { semantic_cluster: cluster, disable_circuit_breaker: noBreaker } = config;
  const { embeddings_url: url, embeddings_model: model, embeddings_api_key: apiKey } = cluster;
  if (cluster.clusters.length === 0 || (url === undefined && model === undefined)) return undefined;
  const address = url === undefined ? undefined : parseEmbeddingsUrl(url);
  return {
    address: address && {
      ...address,
      authorization: apiKey === undefined ? address.authorization : `Bearer ${apiKey}`,
    },
    model: model ?? ANY_MODEL,
    timeoutMs: cluster.embedding_timeout_ms,
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
