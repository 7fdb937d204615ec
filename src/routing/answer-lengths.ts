/** Before any answer has ended. */
const PRIOR_TOKENS = 256;
/** The prior counts as so many answers; later ones fade when as many more have come. */
const MEMORY = 64;

/** How long answers are, in tokens: the mean of the latest. A request says no more than how long its own may be at most. */
export class AnswerLengths {
  #mean = PRIOR_TOKENS;

  learn(tokens: number): void {
    if (tokens >= 0 && Number.isFinite(tokens)) this.#mean += (tokens - this.#mean) / MEMORY;
  }

  /** Of an answer that may have `most` tokens; 0: that is not known. */
  expected(most: number): number {
    return most > 0 ? Math.min(most, this.#mean) : this.#mean;
  }
}
