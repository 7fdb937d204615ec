import type { Coverage } from '../exact/exact-memory.ts';

/**
 * What came of a message. `cleared`: the engine has cleared its cache, and what it has stored since is there. `incomplete`: blocks that it
 * stored are not there, as they could not be read or had no room. `malformed`: nothing of it could be read.
 */
export type Applied = 'complete' | 'cleared' | 'incomplete' | 'malformed';

/**
 * Whether a row has all that its engine holds. It has where everything was applied that was sent since the engine began, or since it
 * cleared its cache; where anything before that may be missing, what the row does not have may be held all the same.
 */
export class RowCoverage {
  readonly #onChange: () => void;
  /** All is there that was sent before the last message that was applied, and counts. */
  #isGapless = false;
  /** Nobody knows whether more was sent than the last message that was applied. */
  #isCutOff = false;
  #word: Coverage = 'partial';

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get word(): Coverage {
    return this.#word;
  }

  /** The row is empty, and has been told of nothing yet. */
  forgotten(): void {
    this.#isGapless = false;
    this.#judge();
  }

  /** The first message for an empty row comes. Engines begin with 0; those that do not are never known to have. */
  begins(seq: number): void {
    this.#isGapless = seq === 0;
  }

  applied(what: Applied, isLive: boolean): void {
    // It follows the last one: nothing was sent between them.
    if (isLive) this.#isCutOff = false;
    if (what === 'cleared') this.#isGapless = true;
    else if (what !== 'complete') this.#isGapless = false;
    this.#judge();
  }

  /** @param isUnsent The publisher says that it has not sent anything yet. */
  replayed(isAnswered: boolean, isUnsent: boolean): void {
    this.#isCutOff = !isAnswered;
    this.#isGapless ||= isUnsent;
    this.#judge();
  }

  #judge(): void {
    const word = this.#isGapless && !this.#isCutOff ? 'whole' : 'partial';
    if (word === this.#word) return;
    this.#word = word;
    this.#onChange();
  }
}
