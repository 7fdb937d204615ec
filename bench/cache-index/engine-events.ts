import { fmix32 } from '../../src/base/hash.ts';
import type { StoredEvent } from '../../src/cache-knowledge/events/kv-event.ts';
import { BlockCache } from '../../src/sim/engine/block-cache.ts';
import type { TraceRequest } from '../../src/simulate/traces/trace.ts';

/** Tokens of a block of these engines: vLLM's default. */
export const BLOCK_SIZE = 16;
/** Blocks that one event tells of at most: a prompt is computed in pieces of 2,048 tokens. */
const BLOCKS_PER_CHUNK = 128;
const VOCABULARY = 128_000;

/** What one engine tells of one step. */
export type EngineEvent =
  | { readonly engine: number; readonly kind: 'stored'; readonly blocks: StoredEvent }
  | { readonly engine: number; readonly kind: 'removed'; readonly names: Uint32Array };

export interface EventsOptions {
  readonly engines: number;
  /** Blocks that each engine has room for. */
  readonly capacity: number;
}

/**
 * Engines with vLLM's block cache that serve a trace: what they would publish, as the decoder gives it. Requests with one beginning go
 * to one engine, as a router that knows of caches sends them.
 */
export class EngineEvents {
  readonly #caches: readonly BlockCache[];
  readonly #removed: number[] = [];
  readonly #taken: number[] = [];

  constructor({ engines, capacity }: EventsOptions) {
    this.#caches = Array.from({ length: engines }, () => new BlockCache(capacity));
    for (const cache of this.#caches)
      cache.watch({
        stored: () => undefined,
        removed: (low, high) => this.#removed.push(low, high),
        cleared: () => undefined,
      });
  }

  /** @param lap Another one is another trace of the same shape. */
  serve(request: TraceRequest, lap: number): EngineEvent[] {
    const hashes = blockNames(request, lap);
    // The first block of 512 tokens is that of a system prompt, the second that of a conversation.
    const { count, hashes: of } = request.blocks;
    const engine = fmix32(of[2 * Math.min(1, Math.max(0, count - 1))] ?? 0) >>> 0;
    return this.#run(engine % this.#caches.length, hashes, Math.floor(request.promptTokens / BLOCK_SIZE));
  }

  #run(engine: number, hashes: Uint32Array, promptBlocks: number): EngineEvent[] {
    const cache = this.#caches[engine]!;
    const total = Math.min(hashes.length >>> 1, cache.capacity);
    const cached = cache.match(hashes, Math.min(total, promptBlocks));
    const taken = this.#taken;
    const events: EngineEvent[] = [];
    this.#removed.length = 0;
    if (!cache.take(hashes, cached, cached, taken)) return events;
    for (let from = cached; from < total;) {
      const to = from < promptBlocks ? Math.min(from + BLOCKS_PER_CHUNK, promptBlocks, total) : from + 1;
      for (let block = from; block < to; block++) {
        cache.allocate(taken);
        cache.seal(taken[block]!, hashes, block);
      }
      if (this.#removed.length > 0)
        events.push({ engine, kind: 'removed', names: Uint32Array.from(this.#removed) });
      this.#removed.length = 0;
      events.push({ engine, kind: 'stored', blocks: storedBlocks(hashes, from, to) });
      from = to;
    }
    cache.release(taken);
    return events;
  }
}

/** Low and high half of what engines call the blocks of prompt and answer, from what the trace says of 512 tokens at a time. */
function blockNames({ blocks, promptTokens, outputTokens }: TraceRequest, lap: number): Uint32Array {
  const count = Math.floor((promptTokens + outputTokens) / BLOCK_SIZE);
  const names = new Uint32Array(2 * count);
  const each = blocks.tokensPerBlock / BLOCK_SIZE;
  for (let block = 0; block < count; block++) {
    const from = Math.min(blocks.count - 1, Math.floor(block / each));
    // What the trace has no hash of, the end of the prompt and the answer, is nobody else's.
    const own = from < 0 || block >= blocks.count * each ? promptTokens * 4096 + outputTokens : 0;
    names[2 * block] = fmix32((blocks.hashes[2 * from] ?? 1) + block + Math.imul(own + lap, 0x9e3779b1));
    names[2 * block + 1] = fmix32(
      (blocks.hashes[2 * from + 1] ?? 1) ^ Math.imul(block + own + lap, 0x85ebca77),
    );
  }
  return names;
}

function storedBlocks(names: Uint32Array, from: number, to: number): StoredEvent {
  const tokens = new Uint32Array(BLOCK_SIZE * (to - from));
  for (let at = 0; at < tokens.length; at++)
    tokens[at] = (fmix32(names[2 * (from + Math.floor(at / BLOCK_SIZE))]! + at) >>> 0) % VOCABULARY;
  return {
    names: names.slice(2 * from, 2 * to),
    parent: from === 0 ? undefined : { low: names[2 * from - 2]!, high: names[2 * from - 1]! },
    tokens,
    kind: 'stored',
    ...{ blockSize: BLOCK_SIZE, adapter: '', salt: '', tier: 'gpu', extras: undefined },
  };
}
