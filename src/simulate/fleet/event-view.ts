import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { Ask, CacheMatch, CacheView } from '../../routing/policy.ts';
import type { BlockCache } from '../../sim/engine/block-cache.ts';

export interface EventChannel {
  readonly delayMs: number;
  /** Share of the messages that never arrive. A message holds what changed in one engine since its last one. */
  readonly loss: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** One number per block hash: 53 of its 64 bits. */
function keyOf(low: number, high: number): number {
  return low * 2 ** 21 + (high >>> 11);
}

/** What one engine holds, as its events tell it: late, and not always. */
class Followed {
  readonly held = new Set<number>();
  /** Positive: stored; negative, less one: removed. */
  #message: number[] = [];
  readonly #channel: EventChannel;

  constructor(channel: EventChannel) {
    this.#channel = channel;
  }

  tell(change: number): void {
    this.#message.push(change);
    if (this.#message.length > 1) return;
    const { clock, delayMs, random, loss } = this.#channel;
    // The message leaves when the event loop, and with it the engine's step, is done with this instant.
    clock.after(0, () => {
      const message = this.#message;
      this.#message = [];
      if (random() < loss) return;
      if (delayMs === 0) this.#apply(message);
      else clock.after(delayMs, () => this.#apply(message));
    });
  }

  #apply(message: readonly number[]): void {
    for (const change of message) {
      if (change >= 0) this.held.add(change);
      else this.held.delete(-change - 1);
    }
  }
}

/** Knowledge of the caches from engine events. */
export class EventView implements CacheView {
  readonly #channel: EventChannel;
  readonly #bySlot: (Followed | undefined)[] = [];

  constructor(channel: EventChannel) {
    this.#channel = channel;
  }

  follow(slot: number, cache: BlockCache): void {
    const followed = new Followed(this.#channel);
    this.#bySlot[slot] = followed;
    cache.watch({
      stored: (low, high) => followed.tell(keyOf(low, high)),
      removed: (low, high) => followed.tell(-keyOf(low, high) - 1),
      cleared: () => undefined,
    });
  }

  leave(slot: number): void {
    this.#bySlot[slot] = undefined;
  }

  match(ask: Ask, slot: number): CacheMatch {
    const { hashes, count, tokensPerBlock } = ask.blocks();
    const held = this.#bySlot[slot]?.held;
    let blocks = 0;
    while (held && blocks < count && held.has(keyOf(hashes[2 * blocks] ?? 0, hashes[2 * blocks + 1] ?? 0)))
      blocks += 1;
    return { tokens: blocks * tokensPerBlock, source: 'events' };
  }
}
