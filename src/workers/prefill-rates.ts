/** Samples of less work measure the network and one decode step more than the prefill. */
const LEAST_WORK_TOKENS = 256;
/** A sample's weight falls to 1/e when this much further work has been seen. */
const MEMORY_TOKENS = 32_768;
/** How far one sample may lie from what was expected: one stall must not starve a worker of the traffic that would correct it. */
const WIDEST_FACTOR = 4;

/** What is known of a worker's speed, in all. */
export interface Seen {
  readonly tokens: number;
  readonly ms: number;
}

/** Prefill speed of each worker, in tokens per second. */
export interface Rates {
  rate(slot: number): number;
  /** `rate` of all slots. */
  column(): Float64Array;
  /** The worker that has the slot in this generation needed so long for so much. */
  learn(slot: number, tokens: number, elapsedMs: number, generation: number): void;
}

/** Whether it says something of the worker. */
export function isSample(tokens: number, elapsedMs: number): boolean {
  return tokens >= LEAST_WORK_TOKENS && elapsedMs > 0;
}

/** Learns them from how long prompts took. Where threads share them this is control's part, which alone writes them. */
export class PrefillRates implements Rates {
  readonly #defaultRate: number;
  /** Tokens and ms seen per slot, both fading with further work; their quotient is the mean weighted by work. */
  #tokens = new Float64Array(0);
  #ms = new Float64Array(0);
  /** That quotient, tokens per second; the typical one where nothing was learnt. */
  #rates: Float64Array;
  readonly #learnt = new Set<number>();
  /** What this router has seen of each worker itself, in all: others learn from it. */
  #seenTokens = new Float64Array(0);
  #seenMs = new Float64Array(0);
  #median: number;
  #samplesSinceMedian = 0;
  #medianStale = false;

  /** @param rates Where they are written, for as many slots as there will ever be; without it there is room for those reserved. */
  constructor(defaultRate: number, rates: Float64Array = new Float64Array(0)) {
    this.#defaultRate = defaultRate;
    this.#rates = rates.fill(defaultRate);
    this.#median = defaultRate;
  }

  reserve(slots: number): void {
    this.#tokens = resized(this.#tokens, slots);
    this.#ms = resized(this.#ms, slots);
    this.#seenTokens = resized(this.#seenTokens, slots);
    this.#seenMs = resized(this.#seenMs, slots);
    if (slots <= this.#rates.length) return;
    const rates = new Float64Array(slots).fill(this.#median);
    rates.set(this.#rates);
    this.#rates = rates;
  }

  /** Learnt, else the median of what was learnt of the other workers, else the default. */
  rate(slot: number): number {
    this.#refresh();
    return this.#rates[slot] ?? this.#median;
  }

  column(): Float64Array {
    this.#refresh();
    return this.#rates;
  }

  learn(slot: number, tokens: number, elapsedMs: number): void {
    if (!isSample(tokens, elapsedMs)) return;
    this.#seenTokens[slot] = (this.#seenTokens[slot] ?? 0) + tokens;
    this.#seenMs[slot] = (this.#seenMs[slot] ?? 0) + elapsedMs;
    this.learnFromOthers(slot, tokens, elapsedMs);
  }

  /** Tokens and ms of all samples of this router's own. */
  seen(slot: number): Seen {
    return { tokens: this.#seenTokens[slot] ?? 0, ms: this.#seenMs[slot] ?? 0 };
  }

  /** Another router has needed so long for so much there. */
  learnFromOthers(slot: number, tokens: number, elapsedMs: number): void {
    if (!isSample(tokens, elapsedMs)) return;
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
    this.#seenTokens[slot] = 0;
    this.#seenMs[slot] = 0;
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
