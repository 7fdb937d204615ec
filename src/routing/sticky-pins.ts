import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { PinLink } from './policy.ts';

const MAX_PINS = 65_536;

/** A pin that is used is told to the other threads again after this part of its time. */
const TOLD_AGAIN = 1 / 8;

interface Pin {
  readonly worker: string;
  usedAt: number;
  /** When the other threads have last heard of it. */
  toldAt: number;
}

/**
 * Which worker a session is at home on, so that it stays there when the ring changes under it. Keys are hashes and
 * workers are named by id: a pin costs the same whatever a client sends, and a slot's next worker inherits nothing.
 *
 * With several threads each has all pins. One that is made is told to the others, which know it a few milliseconds later; where two
 * threads pin a session at once, the one that control hears last counts in all of them.
 */
export class StickyPins {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #pins: LRUCache<number, Pin>;
  readonly #link: PinLink | undefined;

  /** @param ttlMs A pin unused for this long is gone. */
  constructor(
    clock: Clock,
    ttlMs: number,
    { maxPins = MAX_PINS, link }: { readonly maxPins?: number; readonly link?: PinLink | undefined } = {},
  ) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#pins = new LRUCache({ max: maxPins });
    this.#link = link;
    link?.hear((key, worker) => {
      const now = clock.now();
      this.#pins.set(key, { worker, usedAt: now, toldAt: now });
    });
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
    const now = this.#clock.now();
    if (pin?.worker === worker) {
      pin.usedAt = now;
      if (!this.#link || now - pin.toldAt < TOLD_AGAIN * this.#ttlMs) return;
      pin.toldAt = now;
    } else this.#pins.set(key, { worker, usedAt: now, toldAt: now });
    this.#link?.tell(key, worker);
  }
}
