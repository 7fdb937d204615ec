import type { ThreadMemory } from './thread-memory.ts';

/** Something that is so, or not, for all threads; not so at first. */
export class SharedFlag {
  readonly #cell: Int32Array;

  constructor(memory: ThreadMemory, name: string) {
    this.#cell = new Int32Array(memory.region(name, Int32Array.BYTES_PER_ELEMENT));
  }

  get isUp(): boolean {
    return Atomics.load(this.#cell, 0) === 1;
  }

  set(up: boolean): void {
    Atomics.store(this.#cell, 0, up ? 1 : 0);
  }
}
