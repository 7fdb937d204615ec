import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { ExactCaches } from '../../cache-knowledge/exact-caches.ts';
import { ExactIndex } from '../../cache-knowledge/exact/exact-index.ts';
import {
  allocateExact,
  ENTRY_BYTES,
  LEAST_BYTES,
  SLOT,
  type Coverage,
} from '../../cache-knowledge/exact/exact-memory.ts';
import { ExactReader } from '../../cache-knowledge/exact/exact-reader.ts';
import type { ExactRow } from '../../cache-knowledge/exact/row-table.ts';
import type { PromptBlocks } from '../../routing/blocks.ts';
import { tokenChain } from '../../routing/token-chain.ts';
import type { EngineEvents } from './engine-events.ts';
import { FollowedEngine, WORDS_PER_BLOCK, type EventChannel } from './followed-engine.ts';

/** As much as a server's index may take: of very large fleets the simulated router forgets as that one would. */
const MOST_BYTES = 256 * 1024 * 1024;

interface Followed {
  readonly engine: FollowedEngine;
  readonly row: ExactRow;
  readonly stop: () => void;
}

/** What the engines of a simulated fleet hold, as their events tell one router: in the server's own index. */
export class FollowedCaches implements ExactCaches {
  readonly #deps: { readonly clock: Clock; readonly random: Random; readonly channel: EventChannel };
  readonly #index: ExactIndex;
  readonly #reader: ExactReader;
  readonly #slots: Int32Array;
  readonly #bySlot: (Followed | undefined)[] = [];
  /** Prompts by what the index calls their blocks. */
  readonly #chains = new WeakMap<PromptBlocks, PromptBlocks>();
  readonly #blockSize: number;

  /** `blocks`: all that the engines can hold together. */
  constructor(
    deps: { readonly clock: Clock; readonly random: Random; readonly channel: EventChannel },
    { blockSize, blocks }: { readonly blockSize: number; readonly blocks: number },
  ) {
    this.#deps = deps;
    this.#blockSize = blockSize;
    const bytes = LEAST_BYTES + 2 * ENTRY_BYTES * blocks;
    const memory = allocateExact(Math.min(MOST_BYTES, bytes), 1, (size) => new ArrayBuffer(size));
    this.#slots = new Int32Array(memory.slots);
    this.#index = new ExactIndex(memory);
    this.#reader = new ExactReader(memory);
  }

  /** The worker in the slot publishes what it holds. */
  follow(slot: number, events: EngineEvents): void {
    const row = this.#index.open(slot, 0);
    if (row === undefined) return;
    const at = SLOT.WORDS * slot + SLOT.GENERATION;
    const generation = (this.#slots[at] = (this.#slots[at] ?? 0) + 1);
    const onLive = (coverage: Coverage): void => this.#index.setState(slot, generation, 'live', coverage);
    const engine = new FollowedEngine({ ...this.#deps, index: this.#index }, row, onLive);
    const stop = events.on((message) => engine.hear(message));
    this.#bySlot[slot] = { engine, row, stop };
  }

  leave(slot: number): void {
    const followed = this.#bySlot[slot];
    if (followed === undefined) return;
    this.#bySlot[slot] = undefined;
    followed.stop();
    followed.engine.close();
    this.#index.setState(slot, this.#slots[SLOT.WORDS * slot + SLOT.GENERATION]!, 'none', 'partial');
    this.#index.forget(followed.row);
    while (this.#index.sweep());
  }

  isLive(slot: number): boolean {
    return this.#reader.isLive(slot);
  }

  isWhole(slot: number): boolean {
    return this.#reader.isWhole(slot);
  }

  blockSize(slot: number): number {
    return this.isLive(slot) ? this.#blockSize : 0;
  }

  match(chain: PromptBlocks, slot: number): number {
    return this.#reader.match(this.#asked(chain), slot);
  }

  matchAll(chain: PromptBlocks, end: number): ArrayLike<number> {
    return this.#reader.matchAll(this.#asked(chain), end);
  }

  isAway(slot: number): boolean {
    return this.#reader.isAway(slot);
  }

  tiers(chain: PromptBlocks, slot: number): { readonly cpu: number; readonly disk: number } {
    return this.#reader.tiers(this.#asked(chain), slot);
  }

  #asked(chain: PromptBlocks): PromptBlocks {
    let asked = this.#chains.get(chain);
    if (asked === undefined) {
      const { hashes, count } = chain;
      const words = hashes.subarray(0, WORDS_PER_BLOCK * count);
      asked = tokenChain(words, { blockSize: WORDS_PER_BLOCK, adapter: '', salt: '' });
      this.#chains.set(chain, asked);
    }
    return asked;
  }
}
