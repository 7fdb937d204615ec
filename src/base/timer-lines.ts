import type { Timer } from './clock.ts';

/** What the lines stand on: a time and one way to be woken, in ms. */
export interface Wakeups {
  now(): number;
  /** Calls once, about `delayMs` from now; may be early. */
  wakeAfter(delayMs: number, callback: () => void): void;
}

const LONGEST_WAKEUP_MS = 2 ** 31 - 1;
/** Node counts time in whole ms and wakes that much too early. */
const EARLY_MS = 1;

/**
 * Timers for a server, where each request sets several, all of a few different delays, and cancels nearly all of them:
 * one line per delay, in the order in which they were set and hence end, and one wake-up per line. To set, refresh or
 * cancel a timer is to link or unlink it.
 */
export class TimerLines {
  readonly #wakeups: Wakeups;
  /** By delay in whole ms. */
  readonly #lines = new Map<number, Line>();

  constructor(wakeups: Wakeups) {
    this.#wakeups = wakeups;
  }

  after(delayMs: number, callback: () => void): Timer {
    const delay = Math.max(1, Math.ceil(delayMs));
    let line = this.#lines.get(delay);
    if (line === undefined) {
      line = new Line(delay, this.#wakeups, () => this.#lines.delete(delay));
      this.#lines.set(delay, line);
    }
    const timer = new LineTimer(line, callback);
    line.append(timer);
    return timer;
  }
}

class Line {
  readonly #delay: number;
  readonly #wakeups: Wakeups;
  readonly #onEmpty: () => void;
  #first: LineTimer | undefined;
  #last: LineTimer | undefined;
  #awaited = false;

  constructor(delay: number, wakeups: Wakeups, onEmpty: () => void) {
    this.#delay = delay;
    this.#wakeups = wakeups;
    this.#onEmpty = onEmpty;
  }

  append(timer: LineTimer): void {
    timer.endsAt = this.#wakeups.now() + this.#delay;
    timer.previous = this.#last;
    timer.queued = true;
    if (this.#last === undefined) this.#first = timer;
    else this.#last.next = timer;
    this.#last = timer;
    if (!this.#awaited) this.#await(this.#delay);
  }

  remove(timer: LineTimer): void {
    const { previous, next } = timer;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    timer.previous = undefined;
    timer.next = undefined;
    timer.queued = false;
  }

  /** The first may have been cancelled since: then this wakes too early, once, and waits for the one that is first now. */
  #await(delayMs: number): void {
    this.#awaited = true;
    this.#wakeups.wakeAfter(Math.min(delayMs, LONGEST_WAKEUP_MS), () => {
      this.#run();
    });
  }

  /** Timers set by those that end here wait behind the ones that are set already: the first decides about the next wake-up. */
  #run(): void {
    const now = this.#wakeups.now();
    let first = this.#first;
    while (first !== undefined && first.endsAt - now < EARLY_MS) {
      this.remove(first);
      runApart(first.callback);
      first = this.#first;
    }
    this.#awaited = false;
    if (first === undefined) this.#onEmpty();
    else this.#await(first.endsAt - now);
  }
}

/** One that throws must not keep the others of its line from being called. */
function runApart(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

class LineTimer implements Timer {
  readonly callback: () => void;
  endsAt = 0;
  queued = false;
  previous: LineTimer | undefined = undefined;
  next: LineTimer | undefined = undefined;
  readonly #line: Line;
  #cancelled = false;

  constructor(line: Line, callback: () => void) {
    this.#line = line;
    this.callback = callback;
  }

  cancel(): void {
    this.#cancelled = true;
    if (this.queued) this.#line.remove(this);
  }

  refresh(): void {
    if (this.#cancelled) return;
    if (this.queued) this.#line.remove(this);
    this.#line.append(this);
  }
}
