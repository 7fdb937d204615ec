import { cosine, type UnitVector } from './unit-vector.ts';

/** The middle of a cluster. */
export interface Centroid {
  readonly name: string;
  readonly vector: UnitVector;
}

/** The cluster whose middle a text is nearest to. */
export interface Nearest {
  readonly name: string;
  /** Cosine. */
  readonly similarity: number;
}

/** Undefined where there is none in the same space; of two that are as near the first one. */
export function nearestOf(centroids: readonly Centroid[], vector: UnitVector): Nearest | undefined {
  let best: Nearest | undefined;
  for (const { name, vector: middle } of centroids) {
    if (middle.length !== vector.length) continue;
    const similarity = cosine(middle, vector);
    if (best === undefined || similarity > best.similarity) best = { name, similarity };
  }
  return best;
}

/** What this thread knows of the middles of clusters. */
export interface CentroidSource {
  /** Those of clusters that have one. */
  readonly centroids: readonly Centroid[];
  /** A vector of other dimensions than theirs was made: the service has another model now. */
  otherSpace(dimensions: number): void;
}
