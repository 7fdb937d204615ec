import type { CacheScope } from '../engine/cache-scope.ts';
import type { Sequence } from '../engine/sequence.ts';
import type { ScheduleObserver } from '../engine/schedule-observer.ts';
import type { WorkerModel } from '../engine/worker-model.ts';
import { blockDigest, rootDigest } from './block-digest.ts';
import type { KvEvent, Medium } from './kv-event.ts';

interface KnownBlock {
  readonly digest: Buffer;
  /** Blocks that hold it, by tier. */
  readonly holders: Record<Medium, number>;
}

/** Writes down what happens to the caches of one engine, in vLLM's order and grain: one batch per step with changes. */
export class EventRecorder implements ScheduleObserver {
  readonly #blockSize: number;
  readonly #hashSeed: string | undefined;
  readonly #onBatch: (events: readonly KvEvent[]) => void;
  #root: Buffer;
  /** What some block holds, by 53 bits of the model's own hash. */
  readonly #known = new Map<number, KnownBlock>();
  readonly #adapterIds = new Map<string, number>();
  #events: KvEvent[] = [];

  constructor(
    { cache, cpuCache, settings }: WorkerModel,
    hashSeed: string | undefined,
    onBatch: (events: readonly KvEvent[]) => void,
  ) {
    this.#blockSize = settings.blockSize;
    this.#hashSeed = hashSeed;
    this.#root = rootDigest(hashSeed);
    this.#onBatch = onBatch;
    cache.watch({
      stored: (low, high) => void this.#hold(low, high, 'GPU'),
      removed: (low, high) => this.#removed(low, high, 'GPU'),
      cleared: () => this.#cleared(),
    });
    cpuCache?.watch({
      stored: (low, high) => {
        const block = this.#hold(low, high, 'CPU');
        if (block) this.#events.push({ kind: 'offloaded', hash: block.digest });
      },
      removed: (low, high) => this.#removed(low, high, 'CPU'),
      cleared: () => this.#forget('CPU'),
    });
  }

  filled({ ask: { hashes, tokens } }: Sequence, from: number, to: number): void {
    if (tokens === undefined) return;
    const { ids, scope } = tokens;
    const parent = from === 0 ? undefined : this.#known.get(keyAt(hashes, from - 1))?.digest;
    const extraKeys: (readonly string[])[] = [];
    const digests: Buffer[] = [];
    let previous = parent ?? this.#root;
    for (let index = from; index < to; index++) {
      const extras = extraKeysOf(scope, index);
      const key = keyAt(hashes, index);
      let block = this.#known.get(key);
      if (block === undefined) {
        const own = ids.subarray(index * this.#blockSize, (index + 1) * this.#blockSize);
        block = { digest: blockDigest(previous, own, extras), holders: { GPU: 0, CPU: 0 } };
        this.#known.set(key, block);
      }
      previous = block.digest;
      digests.push(previous);
      extraKeys.push(extras);
    }
    this.#events.push({
      ...{ kind: 'stored', hashes: digests, parent, blockSize: this.#blockSize, extraKeys },
      tokens: ids.subarray(from * this.#blockSize, to * this.#blockSize),
      ...{ adapter: scope.adapter, adapterId: this.#adapterId(scope) },
    });
  }

  stepped(): void {
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#onBatch(events);
  }

  /** A new process: nothing is left to be told of, and without a seed its hashes are others. */
  restart(): void {
    this.#events = [];
    this.#known.clear();
    this.#root = rootDigest(this.#hashSeed);
  }

  #hold(low: number, high: number, medium: Medium): KnownBlock | undefined {
    const block = this.#known.get(keyOf(low, high));
    if (block) block.holders[medium] += 1;
    return block;
  }

  /** As vLLM, it is told of each block, even when another one still holds the same. */
  #removed(low: number, high: number, medium: Medium): void {
    const key = keyOf(low, high);
    const block = this.#known.get(key);
    if (block === undefined) return;
    block.holders[medium] -= 1;
    if (block.holders.GPU + block.holders.CPU === 0) this.#known.delete(key);
    this.#events.push({ kind: 'removed', hash: block.digest, medium });
  }

  #cleared(): void {
    this.#forget('GPU');
    this.#events.push({ kind: 'cleared' });
  }

  #forget(medium: Medium): void {
    for (const [key, { holders }] of this.#known) {
      holders[medium] = 0;
      if (holders.GPU + holders.CPU === 0) this.#known.delete(key);
    }
  }

  #adapterId({ adapter }: CacheScope): number | undefined {
    if (adapter === undefined) return undefined;
    let id = this.#adapterIds.get(adapter);
    if (id === undefined) this.#adapterIds.set(adapter, (id = this.#adapterIds.size + 1));
    return id;
  }
}

/** vLLM's order; the salt stands in the first block only, which all others hang on. */
function extraKeysOf({ adapter, salt }: CacheScope, index: number): readonly string[] {
  const keys = adapter === undefined ? [] : [adapter];
  return salt === undefined || index > 0 ? keys : [...keys, salt];
}

function keyAt(hashes: Uint32Array, index: number): number {
  return keyOf(hashes[2 * index] ?? 0, hashes[2 * index + 1] ?? 0);
}

function keyOf(low: number, high: number): number {
  return low * 2 ** 21 + (high >>> 11);
}
