import type { Policy } from '../routing/policy.ts';
import type { CentroidSource } from './centroids.ts';
import type { Embedder } from './embedder.ts';

/** What a request thread has to compare texts by their meaning. */
export interface Meaning {
  /** Undefined where nobody wants vectors. */
  readonly embedder: Embedder | undefined;
  readonly clusters: CentroidSource;
  /** Gives each worker of a cluster its turn, where no policy chooses among them. */
  readonly turns: Policy;
}
