import type { Clock, Timer } from '../base/clock.ts';
import type { ClusterSettings, SemanticClusterSettings } from '../config/settings/settings.ts';
import type { Centroid, CentroidSource } from './centroids.ts';
import type { Embedding } from './embedder.ts';
import { meanDirection, type UnitVector } from './unit-vector.ts';

/** Examples asked for at once: requests ask the same service. */
const AT_ONCE = 4;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** Vectors of two models of the same dimensions cannot be told apart, but what is wrong with one text stays wrong. */
const FOR_GOOD: ReadonlySet<string> = new Set(['refused', 'too_large']);

/** What came of the examples of one cluster. */
export interface ClusterProgress {
  readonly cluster: string;
  readonly examples: number;
  readonly embedded: number;
  /** Why the last one of those that have no vector has none. */
  readonly problem: string | undefined;
}

export interface CentroidEvents {
  /** All examples of a cluster have been asked for. */
  readonly progress: (progress: ClusterProgress, of: { readonly done: number; readonly all: number }) => void;
  /** Some have no vector, and are asked for again in so long. */
  readonly retry: (missing: number, inMs: number) => void;
  readonly changed: (centroids: readonly Centroid[]) => void;
}

export interface CentroidDeps {
  readonly clock: Clock;
  /** One text at a time; never rejects. */
  readonly embed: (text: string, timeoutMs: number, signal: AbortSignal) => Promise<Embedding>;
  readonly events: CentroidEvents;
}

/**
 * Finds the middle of each cluster: the direction of the mean of its examples. Nobody waits for it, and the service that makes vectors
 * may be away: what could not be had is asked for again, and the clusters of before count until all of the new ones have been tried.
 */
export class CentroidBuilder implements CentroidSource {
  readonly #deps: CentroidDeps;
  #settings: SemanticClusterSettings | undefined;
  #centroids: readonly Centroid[] = [];
  /** By example, of the service and model in force. */
  #vectors = new Map<string, UnitVector>();
  #refused = new Map<string, string>();
  #round: AbortController | undefined;
  #retry: Timer | undefined;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(deps: CentroidDeps) {
    this.#deps = deps;
  }

  get centroids(): readonly Centroid[] {
    return this.#centroids;
  }

  /** @param isSame Whether vectors so far are of the service and model that make the others. */
  reconfigure(settings: SemanticClusterSettings | undefined, isSame: boolean): void {
    this.#settings = settings;
    if (!isSame) this.#forget();
    this.#refused.clear();
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#begin();
  }

  otherSpace(dimensions: number): void {
    const [first] = this.#vectors.values();
    if (first === undefined || first.length === dimensions) return;
    this.#forget();
    this.#begin();
  }

  close(): void {
    this.#settings = undefined;
    this.#stop();
  }

  #forget(): void {
    this.#vectors.clear();
    this.#refused.clear();
    this.#show([]);
  }

  #stop(): void {
    this.#retry?.cancel();
    this.#round?.abort();
    this.#round = undefined;
  }

  #begin(): void {
    this.#stop();
    const settings = this.#settings;
    if (!settings) {
      this.#forget();
      return;
    }
    const round = new AbortController();
    this.#round = round;
    void this.#embedAll(settings, round.signal).then((missing) => {
      if (round.signal.aborted) return;
      this.#round = undefined;
      this.#vectors = keep(this.#vectors, settings);
      this.#show(this.#middles(settings));
      if (missing > 0) this.#tryAgain(missing);
    });
  }

  #tryAgain(missing: number): void {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    this.#deps.events.retry(missing, pauseMs);
    this.#retry = this.#deps.clock.after(pauseMs, () => {
      this.#begin();
    });
  }

  /** How many might have a vector later on. */
  async #embedAll(settings: SemanticClusterSettings, signal: AbortSignal): Promise<number> {
    let missing = 0;
    for (const [index, cluster] of settings.clusters.entries()) {
      const failed = await this.#embedExamples(cluster, settings.timeoutMs, signal);
      if (signal.aborted) return 0;
      missing += failed.later;
      const { name, examples } = cluster;
      const embedded = examples.filter((text) => this.#vectors.has(text)).length;
      const progress = { cluster: name, examples: examples.length, embedded, problem: failed.problem };
      this.#deps.events.progress(progress, { done: index + 1, all: settings.clusters.length });
    }
    return missing;
  }

  async #embedExamples(
    { examples }: ClusterSettings,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<{ readonly later: number; readonly problem: string | undefined }> {
    const open = new Set(examples.filter((text) => !this.#vectors.has(text) && !this.#refused.has(text)));
    let [later, problem] = [0, examples.map((text) => this.#refused.get(text)).find(Boolean)];
    const takeOne = async (): Promise<void> => {
      for (const text of open) {
        open.delete(text);
        const embedding = await this.#deps.embed(text, timeoutMs, signal);
        if (signal.aborted) return;
        if (embedding.kind === 'vector') this.#vectors.set(text, embedding.vector);
        else {
          problem = embedding.message;
          if (FOR_GOOD.has(embedding.why)) this.#refused.set(text, problem);
          else later += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, takeOne));
    return { later, problem };
  }

  #middles({ clusters }: SemanticClusterSettings): readonly Centroid[] {
    return clusters.flatMap(({ name, examples }) => {
      const vectors = examples.flatMap((text) => this.#vectors.get(text) ?? []);
      const dimensions = vectors[0]?.length;
      const vector = meanDirection(vectors.filter(({ length }) => length === dimensions));
      return vector ? [{ name, vector }] : [];
    });
  }

  #show(centroids: readonly Centroid[]): void {
    if (centroids.length === 0 && this.#centroids.length === 0) return;
    this.#centroids = centroids;
    this.#deps.events.changed(centroids);
  }
}

/** Those of examples that are still there. */
function keep(
  vectors: ReadonlyMap<string, UnitVector>,
  { clusters }: SemanticClusterSettings,
): Map<string, UnitVector> {
  const wanted = new Set(clusters.flatMap(({ examples }) => examples));
  return new Map([...vectors].filter(([text]) => wanted.has(text)));
}
