import type { PromptBlocks } from '../routing/blocks.ts';

/**
 * Names conversations by their prompts alone, in order of time: a prompt that goes on behind the last block of an earlier
 * one is its next turn. What several prompts go on from in different ways is a common beginning, not a conversation.
 */
export class Conversations {
  readonly #byLastBlock = new Map<string, string>();
  /** What came behind each block first; `shared` once something else did. */
  readonly #following = new Map<string, string>();
  #count = 0;

  /** Undefined for prompts without a full block. */
  of({ hashes, count }: PromptBlocks): string | undefined {
    if (count === 0) return undefined;
    const keys = Array.from(
      { length: count },
      (_, block) => `${String(hashes[2 * block])}:${String(hashes[2 * block + 1])}`,
    );
    for (const [block, key] of keys.entries()) this.#note(key, keys[block + 1]);
    const continued = keys.findLast(
      (key) => this.#byLastBlock.has(key) && this.#following.get(key) !== SHARED,
    );
    const name = (continued && this.#byLastBlock.get(continued)) ?? `conversation ${String(this.#count++)}`;
    if (continued !== undefined) this.#byLastBlock.delete(continued);
    this.#byLastBlock.set(keys.at(-1) ?? '', name);
    return name;
  }

  #note(key: string, next: string | undefined): void {
    if (next === undefined) return;
    const known = this.#following.get(key);
    if (known === undefined) this.#following.set(key, next);
    else if (known !== next) this.#following.set(key, SHARED);
  }
}

const SHARED = 'shared';
