import { nearestOf, type Nearest } from '../../semantic/centroids.ts';
import type { UnitVector } from '../../semantic/unit-vector.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import type { Endpoint } from '../arrive/endpoints.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { goesOut } from './external.ts';
import { staysWithOwner } from './call-pool.ts';
import { spokenText, vectorFor } from './embed-text.ts';
import { lookUp, notePreparing } from './look-up.ts';

/** What came of looking for the cluster of a request; `near`: the nearest one, where that is not near enough. */
export type ClusterOutcome = 'matched' | 'below_threshold' | 'no_vector' | 'no_clusters';

/**
 * Finds the cluster that a request belongs to by what it asks for, once for all attempts; undefined where there are no clusters, or
 * nothing to choose. An embedder that does not answer in time costs the request that time and nothing else.
 */
export function knowCluster(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
): Promise<void> | undefined {
  if (goesOut(call) || !mayBelong(rt, arrival.endpoint) || staysWithOwner(rt, call)) return undefined;
  const known = call.ask.vector;
  const text = known === undefined ? spokenText(rt, call) : undefined;
  if (known === undefined && text === undefined) return undefined;
  if (known !== undefined || text === undefined) {
    settle(rt, arrival, call, known ?? undefined);
    return undefined;
  }
  return lookUp(rt, { arrival, deadline }, notePreparing(arrival), (signal) =>
    vectorFor(rt, call, text, signal),
  ).then((vector) => {
    settle(rt, arrival, call, vector);
  });
}

/** The same for a request that is only talked about. */
export async function withCluster(
  rt: Runtime,
  endpoint: Endpoint,
  call: Call,
  signal: AbortSignal,
): Promise<Nearest | undefined> {
  const text = mayBelong(rt, endpoint) ? spokenText(rt, call) : undefined;
  const vector = text === undefined ? undefined : await vectorFor(rt, call, text, signal);
  const { cluster } = clusterOf(rt, vector);
  call.ask.cluster = cluster;
  return cluster;
}

/** As records and headers show it. */
export function roundSimilarity(cosine: number): number {
  return Math.round(cosine * 1e6) / 1e6;
}

/** Those that generate: to be embedded, ranked or tokenised is no matter of what a text is about. */
function mayBelong({ settings }: Runtime, { tokens }: Endpoint): boolean {
  return settings.semantic.clusters !== undefined && tokens === 'prompt_and_answer';
}

function clusterOf(
  { semantic, settings }: Runtime,
  vector: UnitVector | undefined,
): { readonly outcome: ClusterOutcome; readonly cluster?: Nearest | undefined; readonly near?: Nearest } {
  const { clusters } = semantic;
  const [first] = clusters.centroids;
  if (first === undefined) return { outcome: 'no_clusters' };
  if (vector === undefined) return { outcome: 'no_vector' };
  if (first.vector.length !== vector.length) clusters.otherSpace(vector.length);
  const nearest = nearestOf(clusters.centroids, vector);
  if (!nearest) return { outcome: 'no_clusters' };
  const isNear = nearest.similarity >= (settings.semantic.clusters?.threshold ?? Infinity);
  return isNear ? { outcome: 'matched', cluster: nearest } : { outcome: 'below_threshold', near: nearest };
}

function settle(
  rt: Runtime,
  { decision, endpoint }: Arrival,
  { ask }: Call,
  vector: UnitVector | undefined,
): void {
  const { outcome, cluster, near } = clusterOf(rt, vector);
  ask.cluster = cluster;
  rt.metrics.clusterMatchesTotal.with(outcome).inc();
  const told = cluster ?? near;
  if (told) decision.cluster_similarity = roundSimilarity(told.similarity);
  if (cluster) decision.cluster = cluster.name;
  if (outcome === 'below_threshold') rt.metrics.clusterFallbackTotal.with(endpoint.route).inc();
}
