import type { Sequence } from './sequence.ts';

/** Below so many places that nobody stands in any more, they are not worth moving the others up. */
const WORTH_MOVING = 1024;

/** The requests that wait for a place in the batch, first come first served; those that left are passed over. */
export class WaitingLine {
  #line: Sequence[] = [];
  /** Entries before this one are gone. */
  #from = 0;
  /** Entries behind it that left. */
  #left = 0;

  get length(): number {
    return this.#line.length - this.#from - this.#left;
  }

  add(sequence: Sequence): void {
    this.#line.push(sequence);
  }

  /** Before all others: it was running and has to begin again. */
  addFirst(sequence: Sequence): void {
    if (this.#from > 0) this.#line[--this.#from] = sequence;
    else this.#line.unshift(sequence);
  }

  /** Undefined when nobody waits. */
  first(): Sequence | undefined {
    for (;;) {
      const sequence = this.#line[this.#from];
      if (!sequence) {
        this.#line.length = 0;
        this.#from = 0;
        return undefined;
      }
      if (sequence.state === 'waiting') return sequence;
      this.#from++;
      this.#left--;
    }
  }

  /** The first one is taken into the batch. */
  shift(): void {
    this.#from++;
    if (this.#from <= WORTH_MOVING || this.#from * 2 <= this.#line.length) return;
    this.#line = this.#line.slice(this.#from);
    this.#from = 0;
  }

  /** One of them no longer has the state `waiting`. */
  leave(): void {
    this.#left++;
    if (this.#left <= WORTH_MOVING || this.#left <= this.length) return;
    this.#line = this.sequences();
    this.#from = 0;
    this.#left = 0;
  }

  /** In their order. */
  sequences(): Sequence[] {
    return this.#line.slice(this.#from).filter((sequence) => sequence.state === 'waiting');
  }
}
