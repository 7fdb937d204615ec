import type { PromptBlocks } from '../routing/blocks.ts';
import type { Roster } from '../workers/roster.ts';
import { MOST_HASHES, type PlacedBlocks } from './replica-message.ts';

/** A prompt that this replica has sent to the worker in a slot. */
export interface OwnPlacement extends Pick<PromptBlocks, 'hashes' | 'count'> {
  readonly slot: number;
  readonly generation: number;
  readonly tokens: number;
}

/** Shorter ones than this many blocks are not worth their bytes: who computes them anew is as fast. */
const FEWEST_BLOCKS = 4;
/** Prompts in one message. */
const MOST_PROMPTS = 1024;

/**
 * Prompts that were sent to workers since others were told last, as many as go into one message: what does not fit is dropped, and
 * counted. It costs cache hits, never a request. Of a long prompt the beginning is kept, which is what others can share.
 */
export class Placements {
  readonly #registry: Roster;
  #placed: PlacedBlocks[] = [];
  #room = MOST_HASHES;
  /** Blocks that were not told of, since ever. */
  dropped = 0;

  constructor(registry: Roster) {
    this.#registry = registry;
  }

  get isEmpty(): boolean {
    return this.#placed.length === 0;
  }

  /** Its hashes are copied. */
  note({ hashes, count, slot, generation, tokens }: OwnPlacement): void {
    if (count < FEWEST_BLOCKS) return;
    const worker = this.#registry.at({ slot, generation });
    if (!worker) return;
    const kept = this.#placed.length < MOST_PROMPTS ? Math.min(count, this.#room) : 0;
    this.dropped += count - kept;
    if (kept < FEWEST_BLOCKS) return;
    this.#room -= kept;
    this.#placed.push({
      id: worker.id,
      tokens: Math.round((tokens * kept) / count),
      hashes: hashes.slice(0, 2 * kept),
    });
  }

  /** All of them; from here on there is room again. */
  take(): readonly PlacedBlocks[] {
    const placed = this.#placed;
    this.#placed = [];
    this.#room = MOST_HASHES;
    return placed;
  }
}
