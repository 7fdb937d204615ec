import type { Arena } from './arena.ts';
import type { RemovedEvent, Tier } from './kv-event.ts';

const WORDS = 1024;

/** An engine tells of each block that it evicts by itself: those that follow one another are made one event. */
export class Removals {
  /** Low and high half of each; what is behind the last one is of no meaning. */
  names = new Uint32Array(WORDS);
  #tier: Tier = 'gpu';
  #used = 0;

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  fits(tier: Tier): boolean {
    return this.isEmpty || tier === this.#tier;
  }

  /** Makes room in `names` for so many more blocks of a tier that `fits`. @returns where. */
  add(tier: Tier, blocks: number): number {
    this.#tier = tier;
    const at = this.#used;
    this.#used = at + 2 * blocks;
    if (this.#used > this.names.length) {
      const more = new Uint32Array(Math.max(this.#used, 2 * this.names.length));
      more.set(this.names);
      this.names = more;
    }
    return at;
  }

  /** All of them as one event; none are left. */
  take(arena: Arena): RemovedEvent {
    const names = arena.take(this.#used);
    names.set(this.names.subarray(0, this.#used));
    this.clear();
    return { kind: 'removed', names, tier: this.#tier };
  }

  clear(): void {
    this.#used = 0;
    if (this.names.length > WORDS) this.names = new Uint32Array(WORDS);
  }
}
