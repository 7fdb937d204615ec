/** Blocks seen for the ratio of blocks to tokens; older ones fade. */
const MEMORY_BLOCKS = 2 ** 14;
/** A worker keeps something, whatever is concluded. */
const LEAST_BLOCKS = 64;
/** Nobody forgets so much sooner than his cache is full: then it is something else that was found, such as another template. */
const LEAST_SHARE = 0.25;
const GROWTH = 1.25;

/**
 * How many blocks of one worker are believed to be in its cache: no more than the engine says it has room for, in tokens, and no
 * more than what was found to be the distance at which it forgets.
 */
export class RowLimit {
  /** Blocks that were noted, and the tokens that they stand for. */
  #blocks = 0;
  #tokens = 0;
  #learnt = Infinity;
  /** By what the engine says. */
  #known = Infinity;

  /** @param tokens 0 for a second chain of the same prompt, which takes no more of the cache. */
  note(blocks: number, tokens: number): void {
    this.#blocks += blocks;
    this.#tokens += tokens;
    if (this.#blocks < MEMORY_BLOCKS) return;
    this.#blocks /= 2;
    this.#tokens /= 2;
  }

  /** @param capacityTokens Infinity where the engine does not say. */
  most(capacityTokens: number): number {
    if (capacityTokens === Infinity || this.#tokens === 0) return this.#learnt;
    this.#known = Math.floor((capacityTokens * this.#blocks) / this.#tokens);
    return Math.min(this.#learnt, this.#known);
  }

  /** Whether a block may be gone since which so many others were used; then it keeps no more than those. */
  forgets(blocks: number): boolean {
    if (blocks < LEAST_BLOCKS || (this.#known !== Infinity && blocks < LEAST_SHARE * this.#known))
      return false;
    this.#learnt = Math.min(this.#learnt, blocks);
    return true;
  }

  get learnt(): number {
    return this.#learnt;
  }

  /** A block was there that was believed to be gone. */
  keepsMore(): void {
    this.#learnt = Math.ceil(this.#learnt * GROWTH);
  }

  clear(): void {
    this.#blocks = this.#tokens = 0;
    this.#learnt = this.#known = Infinity;
  }
}
