/** Work that was done evenly over a stretch of time. */
export interface Work {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

const SHORTEST = 1e-3;

/** Pieces of work, some of them at once: how much of all of it falls into any window. */
export class WorkOverTime {
  readonly #times: Float64Array;
  /** All work up to each time. */
  readonly #sums: Float64Array;

  constructor(work: readonly Work[]) {
    const changes = work.flatMap(({ from, to, amount }) => {
      const end = Math.max(to, from + SHORTEST);
      const rate = amount / (end - from);
      return [
        { at: from, rate },
        { at: end, rate: -rate },
      ];
    });
    changes.sort((left, right) => left.at - right.at);
    this.#times = Float64Array.from(changes, ({ at }) => at);
    this.#sums = new Float64Array(changes.length);
    let rate = 0;
    for (const [index, change] of changes.entries()) {
      const before = changes[index - 1];
      if (before) this.#sums[index] = (this.#sums[index - 1] ?? 0) + rate * (change.at - before.at);
      rate += change.rate;
    }
  }

  between(from: number, to: number): number {
    return this.until(to) - this.until(from);
  }

  until(time: number): number {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#times[middle] ?? 0) <= time) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return 0;
    const before = this.#sums[low - 1] ?? 0;
    if (low === this.#times.length) return before;
    const [left = 0, right = 0] = [this.#times[low - 1], this.#times[low]];
    return before + ((this.#sums[low] ?? 0) - before) * ((time - left) / (right - left || 1));
  }
}
