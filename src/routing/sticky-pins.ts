import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';

const MAX_PINS = 65_536;

interface Pin {
  readonly worker: string;
  usedAt: number;
}

/**
 * Which worker a session is at home on, so that it stays there when the ring changes under it. Keys are hashes and
 * workers are named by id: a pin costs the same whatever a client sends, and a slot's next worker inherits nothing.
 */
export class StickyPins {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #pins: LRUCache<number, Pin>;

  /** @param ttlMs A pin unused for this long is gone. */
  constructor(clock: Clock, ttlMs: number, maxPins = MAX_PINS) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#pins = new LRUCache({ max: maxPins });
  }

  get size(): number {
    return this.#pins.size;
  }

  /** The worker's id. Asking does not prolong the pin: `keep` does. */
  get(key: number): string | undefined {
    const pin = this.#pins.peek(key);
    if (pin === undefined) return undefined;
    if (this.#clock.now() - pin.usedAt <= this.#ttlMs) return pin.worker;
    this.#pins.delete(key);
    return undefined;
  }

  /** Pins the key to the worker, or prolongs its pin there. */
  keep(key: number, worker: string): void {
    const pin = this.#pins.get(key);
    if (pin?.worker === worker) pin.usedAt = this.#clock.now();
    else this.#pins.set(key, { worker, usedAt: this.#clock.now() });
  }
}
