import type { WorkerEventsReport } from '../events/worker-events.ts';

/** Workers that one report is about, beside those whose state has changed: whoever reads it must not be held up. */
const AT_ONCE = 64;

/** Which workers a report is about: those whose state is another one than last time, then the others in turn. */
export class ReportTurns {
  /** By slot: what was last reported. */
  #reported = new Map<number, WorkerEventsReport>();
  #next = 0;

  choose(workers: readonly WorkerEventsReport[]): readonly WorkerEventsReport[] {
    const chosen = workers.filter((one) => !this.#isKnown(one));
    for (let left = Math.min(AT_ONCE, workers.length); left > 0; left--) {
      this.#next = (this.#next + 1) % workers.length;
      const one = workers[this.#next];
      if (one && !chosen.includes(one)) chosen.push(one);
    }
    this.#reported = new Map(workers.map((one) => [one.slot, one]));
    return chosen;
  }

  #isKnown({ slot, generation, state, coverage }: WorkerEventsReport): boolean {
    const before = this.#reported.get(slot);
    return before?.generation === generation && before.state === state && before.coverage === coverage;
  }
}
