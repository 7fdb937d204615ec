/** What a first token depends on. */
export interface FirstTokenSample {
  /** Prompt tokens that the worker computes before it: those ahead of the prompt and its own uncached ones. */
  readonly tokens: number;
  /** Uncached tokens times the prompt's length, for the part of attention that grows with both. */
  readonly tokensTimesLength: number;
  /** Requests that run there. */
  readonly running: number;
}

/** Features are brought to about 1, so that one start covariance fits them all. Order: tokens, U * L, running, constant. */
const SCALE = [8000, 1e9, 100, 1] as const;
const TERMS = SCALE.length;
/** Bounds of the scaled coefficients, seconds: 8,000 tokens take 50 ms to 20 s. */
const LOWEST = [0.05, 0, 0, 0] as const;
const HIGHEST = [20, 5, 2, 2] as const;
/** Before anything was learnt: 8,000 tokens per second and nothing else. */
const FIRST_GUESS = [1, 0, 0, 0] as const;
/** Weight of a sample against the next one: about 100 samples count. */
const FORGETTING = 0.99;
/** A worker with fewer samples is judged by the pool's median. */
const LEAST_SAMPLES = 8;
/** How far one sample may lie from what was expected, as a multiple of it, and at least in seconds. */
const WIDEST = 2;
const WIDEST_SECS = 0.2;
/** Without it, forgetting blows the covariance up along whatever does not vary. */
const MOST_TRACE = 100;

interface Fit {
  samples: number;
  readonly weights: number[];
  /** Row-major covariance. */
  readonly covariance: number[];
}

/** Time to the first token as a linear function, learnt per worker by recursive least squares with forgetting. */
export class FirstTokenModel {
  readonly #fits: (Fit | undefined)[] = [];
  #median: readonly number[] = FIRST_GUESS;
  #samplesSinceMedian = 0;

  predictSecs(slot: number, sample: FirstTokenSample): number {
    return dot(this.#weights(slot), featuresOf(sample));
  }

  /** Seconds per uncached token. */
  secsPerToken(slot: number): number {
    return (this.#weights(slot)[0] ?? FIRST_GUESS[0]) / SCALE[0];
  }

  learn(slot: number, sample: FirstTokenSample, ttftMs: number): void {
    const features = featuresOf(sample);
    if (!(ttftMs >= 0) || !Number.isFinite(ttftMs) || !features.every(Number.isFinite)) return;
    const fit = (this.#fits[slot] ??= newFit(this.#median));
    const expected = dot(fit.weights, features);
    const widest = Math.max(WIDEST_SECS, WIDEST * Math.abs(expected));
    update(fit, features, Math.min(widest, Math.max(-widest, ttftMs / 1000 - expected)));
    fit.samples += 1;
    this.#samplesSinceMedian += 1;
    if (this.#samplesSinceMedian >= Math.max(LEAST_SAMPLES, this.#fits.length)) this.#refreshMedian();
  }

  forget(slot: number): void {
    if (slot < this.#fits.length) this.#fits[slot] = undefined;
  }

  #weights(slot: number): readonly number[] {
    const fit = this.#fits[slot];
    return fit !== undefined && fit.samples >= LEAST_SAMPLES ? fit.weights : this.#median;
  }

  #refreshMedian(): void {
    this.#samplesSinceMedian = 0;
    const learnt = this.#fits.filter((fit) => fit !== undefined && fit.samples >= LEAST_SAMPLES);
    if (learnt.length === 0) return;
    this.#median = SCALE.map((_, term) => {
      const values = learnt.map((fit) => fit?.weights[term] ?? 0).sort((left, right) => left - right);
      return values[values.length >> 1] ?? 0;
    });
  }
}

function newFit(weights: readonly number[]): Fit {
  const covariance = Array.from({ length: TERMS * TERMS }, (_, at) => (at % (TERMS + 1) === 0 ? 1 : 0));
  return { samples: 0, weights: [...weights], covariance };
}

function featuresOf({ tokens, tokensTimesLength, running }: FirstTokenSample): readonly number[] {
  return [tokens / SCALE[0], tokensTimesLength / SCALE[1], running / SCALE[2], 1];
}

/** One step of recursive least squares; the coefficients stay within their bounds. */
function update({ weights, covariance }: Fit, features: readonly number[], error: number): void {
  const spread = features.map((_, row) =>
    features.reduce((sum, value, column) => sum + (covariance[row * TERMS + column] ?? 0) * value, 0),
  );
  const denominator = FORGETTING + dot(features, spread);
  let trace = 0;
  for (let row = 0; row < TERMS; row += 1) {
    const gain = (spread[row] ?? 0) / denominator;
    const weight = (weights[row] ?? 0) + gain * error;
    weights[row] = Math.min(HIGHEST[row] ?? 0, Math.max(LOWEST[row] ?? 0, weight));
    for (let column = 0; column < TERMS; column += 1) {
      const at = row * TERMS + column;
      covariance[at] = ((covariance[at] ?? 0) - gain * (spread[column] ?? 0)) / FORGETTING;
    }
    trace += covariance[row * TERMS + row] ?? 0;
  }
  if (trace <= MOST_TRACE) return;
  for (let at = 0; at < covariance.length; at += 1)
    covariance[at] = ((covariance[at] ?? 0) * MOST_TRACE) / trace;
}

function dot(left: readonly number[], right: readonly number[]): number {
  return left.reduce((sum, value, index) => sum + value * (right[index] ?? 0), 0);
}
