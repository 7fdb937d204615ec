const WIDTH = 30;
const LEAST_PAUSE_MS = 100;

/** Shows on a terminal how far long work is; elsewhere it is silent. */
export class ProgressBar {
  readonly #out: NodeJS.WriteStream;
  readonly #now: () => number;
  readonly #startedAt: number;
  #shownAt = -Infinity;
  #length = 0;

  constructor(out: NodeJS.WriteStream, now: () => number = () => performance.now()) {
    this.#out = out;
    this.#now = now;
    this.#startedAt = now();
  }

  /** `done` from 0 to 1. */
  show(done: number, what: string): void {
    const now = this.#now();
    if (!this.#out.isTTY || now - this.#shownAt < LEAST_PAUSE_MS) return;
    this.#shownAt = now;
    const full = Math.round(WIDTH * done);
    const leftSecs = done > 0 ? ((now - this.#startedAt) * (1 - done)) / done / 1000 : NaN;
    const left = Number.isNaN(leftSecs) ? '' : ` ${Math.ceil(leftSecs)} s left`;
    const line = `${'#'.repeat(full)}${'.'.repeat(WIDTH - full)} ${Math.floor(100 * done)}%${left}  ${what}`;
    const fitting = line.slice(0, (this.#out.columns || 80) - 1);
    this.#out.write(`\r${fitting.padEnd(this.#length)}`);
    this.#length = fitting.length;
  }

  clear(): void {
    if (this.#length > 0) this.#out.write(`\r${' '.repeat(this.#length)}\r`);
    this.#length = 0;
  }
}
