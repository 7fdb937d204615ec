/** Samples of less work measure the network and one decode step more than the prefill. */
const LEAST_WORK_TOKENS = 256;
/** A sample's weight falls to 1/e when this much further work has been seen. */
const MEMORY_TOKENS = 32_768;
/** How far one sample may lie from what was expected: one stall must not starve a worker of the traffic that would correct it. */
const WIDEST_FACTOR = 4;

/** Prefill speed of each worker, learnt from how long its prompts took. Tokens per second. */
export class PrefillRates {
  readonly #defaultRate: number;
  /** Tokens and ms seen per slot, both fading with further work; their quotient is the mean weighted by work. */
  #tokens = new Float64Array(0);
  #ms = new Float64Array(0);
  /** That quotient, tokens per second; the typical one where nothing was learnt. */
  #rates = new Float64Array(0);
  readonly #learnt = new Set<number>();
  #median: number;
  #samplesSinceMedian = 0;
  #medianStale = false;

  constructor(defaultRate: number) {
    this.#defaultRate = defaultRate;
    this.#median = defaultRate;
  }

  reserve(slots: number): void {
    this.#tokens = resized(this.#tokens, slots);
    this.#ms = resized(this.#ms, slots);
    const rates = new Float64Array(slots).fill(this.#median);
    rates.set(this.#rates);
    this.#rates = rates;
  }

  /** Learnt, else the median of what was learnt of the other workers, else the default. */
  rate(slot: number): number {
    this.#refresh();
    return this.#rates[slot] ?? this.#median;
  }

  /** `rate` of all slots. */
  column(): Float64Array {
    this.#refresh();
    return this.#rates;
  }

  learn(slot: number, tokens: number, elapsedMs: number): void {
    if (!(tokens >= LEAST_WORK_TOKENS) || !(elapsedMs > 0)) return;
    const expectedMs = (tokens / this.rate(slot)) * 1000;
    const ms = Math.min(Math.max(elapsedMs, expectedMs / WIDEST_FACTOR), expectedMs * WIDEST_FACTOR);
    const kept = Math.exp(-tokens / MEMORY_TOKENS);
    const allTokens = (this.#tokens[slot] = (this.#tokens[slot] ?? 0) * kept + tokens);
    const allMs = (this.#ms[slot] = (this.#ms[slot] ?? 0) * kept + ms);
    this.#rates[slot] = (allTokens / allMs) * 1000;
    this.#samplesSinceMedian += 1;
    if (!this.#learnt.has(slot)) {
      this.#learnt.add(slot);
      this.#medianStale = true;
    }
  }

  forget(slot: number): void {
    if (!this.#learnt.delete(slot)) return;
    this.#tokens[slot] = 0;
    this.#ms[slot] = 0;
    this.#rates[slot] = this.#median;
    this.#medianStale = true;
  }

  /** Sorted anew only after as many samples as there are workers, so that a sample costs little in a large fleet. */
  #refresh(): void {
    if (!this.#medianStale && this.#samplesSinceMedian < Math.max(1, this.#learnt.size)) return;
    const rates = Float64Array.from(this.#learnt, (slot) => this.#rates[slot]!).sort();
    const upper = rates[rates.length >> 1] ?? this.#defaultRate;
    const lower = rates[(rates.length - 1) >> 1] ?? this.#defaultRate;
    this.#median = (lower + upper) / 2;
    this.#medianStale = false;
    this.#samplesSinceMedian = 0;
    for (let slot = 0; slot < this.#rates.length; slot++)
      if (this.#tokens[slot] === 0) this.#rates[slot] = this.#median;
  }
}

/** A copy of `row` with room for `slots` entries; the new ones are 0. */
export function resized(row: Float64Array, slots: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(slots);
  larger.set(row);
  return larger;
}
