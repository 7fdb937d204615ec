import type { Clock, Timer } from './clock.ts';

class VirtualTimer implements Timer {
  readonly callback: () => void;
  readonly delayMs: number;
  dueAt = 0;
  order = 0;
  /** Place in the heap; -1 while it is not set. */
  place = -1;
  readonly #clock: VirtualClock;
  #cancelled = false;

  constructor(clock: VirtualClock, delayMs: number, callback: () => void) {
    this.#clock = clock;
    this.delayMs = delayMs;
    this.callback = callback;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#clock.unset(this);
  }

  refresh(): void {
    if (!this.#cancelled) this.#clock.set(this);
  }
}

/**
 * A clock that moves only when told to. Timers due at the same instant run in the order they were set. They are kept in
 * a heap, so that a simulation may have millions of them.
 */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #wallAtZero: number;
  readonly #heap: VirtualTimer[] = [];

  constructor(wallAtZero = 1_700_000_000_000) {
    this.#wallAtZero = wallAtZero;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wallAtZero + this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = new VirtualTimer(this, delayMs, callback);
    this.set(timer);
    return timer;
  }

  /** Number of timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#heap.length;
  }

  advance(byMs: number): void {
    const until = this.#now + byMs;
    for (let next = this.#heap[0]; next !== undefined && next.dueAt <= until; next = this.#heap[0]) {
      this.#fire(next);
    }
    this.#now = until;
  }

  /** Moves to the next timer and runs it; false when none is set. */
  step(): boolean {
    const next = this.#heap[0];
    if (next === undefined) return false;
    this.#fire(next);
    return true;
  }

  /** For timers. */
  set(timer: VirtualTimer): void {
    this.unset(timer);
    timer.dueAt = this.#now + timer.delayMs;
    timer.order = this.#order++;
    this.#heap.push(timer);
    this.#up(timer, this.#heap.length - 1);
  }

  /** For timers. */
  unset(timer: VirtualTimer): void {
    const { place } = timer;
    if (place < 0) return;
    timer.place = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === timer) return;
    const parent = this.#heap[(place - 1) >> 1];
    if (place > 0 && parent !== undefined && isBefore(last, parent)) this.#up(last, place);
    else this.#down(last, place);
  }

  #fire(timer: VirtualTimer): void {
    // One that was due before now was set with a negative delay.
    this.#now = Math.max(this.#now, timer.dueAt);
    this.unset(timer);
    timer.callback();
  }

  #up(timer: VirtualTimer, from: number): void {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || isBefore(parent, timer)) break;
      this.#put(parent, place);
      place = above;
    }
    this.#put(timer, place);
  }

  #down(timer: VirtualTimer, from: number): void {
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      let child = this.#heap[below];
      if (child === undefined) break;
      const other = this.#heap[below + 1];
      if (other !== undefined && isBefore(other, child)) {
        child = other;
        below += 1;
      }
      if (isBefore(timer, child)) break;
      this.#put(child, place);
      place = below;
    }
    this.#put(timer, place);
  }

  #put(timer: VirtualTimer, place: number): void {
    this.#heap[place] = timer;
    timer.place = place;
  }
}

function isBefore(left: VirtualTimer, right: VirtualTimer): boolean {
  return left.dueAt < right.dueAt || (left.dueAt === right.dueAt && left.order < right.order);
}
