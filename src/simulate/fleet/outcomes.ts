/** What became of each request of a run, by its place in the trace. Times in ms from its arrival; NaN = never. */
export class Outcomes {
  readonly ttftMs: Float64Array;
  readonly e2eMs: Float64Array;
  /** Prompt tokens that the engine found in its cache. */
  readonly cachedTokens: Float64Array;
  /** What the policy expected of them; NaN where it did not look. */
  readonly predictedTokens: Float64Array;
  /** Index of the worker that it was on last; -1 = none took it. */
  readonly worker: Int32Array;
  /** Index of the worker that computed its prompt, where that was another one; -1 = where it was served whole. */
  readonly prefill: Int32Array;
  readonly attempts: Uint8Array;

  constructor(requests: number) {
    this.ttftMs = new Float64Array(requests).fill(NaN);
    this.e2eMs = new Float64Array(requests).fill(NaN);
    this.cachedTokens = new Float64Array(requests);
    this.predictedTokens = new Float64Array(requests).fill(NaN);
    this.worker = new Int32Array(requests).fill(-1);
    this.prefill = new Int32Array(requests).fill(-1);
    this.attempts = new Uint8Array(requests);
  }

  get length(): number {
    return this.worker.length;
  }
}
