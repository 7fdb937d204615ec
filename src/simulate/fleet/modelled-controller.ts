import type { PromptBlocks } from '../../routing/blocks.ts';
import type { HeldTokens, Holdings, OccupancyView } from '../../routing/policy.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';
import { StoredChunks } from '../../sim/lmcache/stored-chunks.ts';

/** Tokens of LMCache's chunks. Of blocks that are longer each is one. */
const CHUNK_TOKENS = 256;

/** What was sent where, in the place of engines: leading tokens and blocks, by slot. */
interface SentPrompts {
  match(blocks: PromptBlocks, slot: number): { readonly tokens: number };
  entriesOf(slot: number): number;
}

/**
 * LMCache's controller as it would be beside modelled engines. Each engine stores what it has in its caches (that on the CPU, where it
 * has one) and registers it chunk by chunk, and of each chunk the controller names the first that has. Where there are no
 * engines to look at, a worker stores what was sent there.
 */
export class ModelledController implements OccupancyView {
  readonly #chunks: StoredChunks;
  readonly #sent: SentPrompts | undefined;
  /** By slot: the instance of the worker that is there now. */
  readonly #present = new Map<number, { readonly instance: string; readonly hasEngine: boolean }>();
  #joined = 0;

  constructor(blockSize: number, sent: SentPrompts | undefined) {
    this.#chunks = new StoredChunks(Math.max(1, Math.floor(CHUNK_TOKENS / blockSize)));
    this.#sent = sent;
  }

  join(slot: number, model: WorkerModel | undefined): void {
    // The next one in the slot has another name, and nothing of the one before.
    const instance = String(this.#joined++);
    this.#present.set(slot, { instance, hasEngine: model !== undefined });
    if (model) this.#chunks.follow(instance, model.cpuCache ?? model.cache);
  }

  leave(slot: number): void {
    this.#present.delete(slot);
  }

  chunks(): ReadonlyMap<number, number> | undefined {
    const counts = new Map<number, number>();
    for (const [slot, { instance, hasEngine }] of this.#present)
      counts.set(slot, hasEngine ? this.#chunks.chunksOf(instance) : (this.#sent?.entriesOf(slot) ?? 0));
    return counts.size > 0 ? counts : undefined;
  }

  holdings(blocks: PromptBlocks): Holdings {
    const chunkTokens = this.#chunks.blocksPerChunk * blocks.tokensPerBlock;
    const most = Math.max(0, blocks.totalTokens - 1);
    const tokens = this.#told(blocks, chunkTokens);
    const held: HeldTokens[] = [];
    for (const [slot, { instance, hasEngine }] of this.#present) {
      const sent = hasEngine ? 0 : (this.#sent?.match(blocks, slot).tokens ?? 0);
      const stored = hasEngine ? (tokens.get(instance) ?? 0) : Math.floor(sent / chunkTokens) * chunkTokens;
      if (stored > 0) held.push({ slot, tokens: Math.min(stored, most), tier: 'cpu' });
    }
    return { held };
  }

  /** By instance the end of the last chunk that it is noted for. */
  #told({ hashes }: PromptBlocks, chunkTokens: number): ReadonlyMap<string, number> {
    const tokens = new Map<string, number>();
    for (const [index, [first]] of this.#chunks.holders(hashes).entries()) {
      if (first === undefined) break;
      tokens.set(first, (index + 1) * chunkTokens);
    }
    return tokens;
  }
}
