/** An engine's cache, apart from any model: what it holds, and the messages in which vLLM would tell of it. */
import { encode } from '@msgpack/msgpack';

export interface EngineBlock {
  readonly name: bigint;
  readonly parent: bigint | undefined;
  readonly tokens: readonly number[];
}

export interface Published {
  readonly seq: number;
  readonly payload: Buffer;
}

const BLOCK_SIZE = 2;

export class KvEngine {
  readonly held = new Map<bigint, EngineBlock>();
  /** What a replay would bring: the latest `bufferSteps` messages. */
  buffer: Published[] = [];
  readonly #bufferSteps: number;
  readonly #encoding: 'map' | 'array';
  #seq = 0;
  #nextName: bigint;
  #ts: number;

  /** @param process tells its messages and names from those of another one. */
  constructor(process: number, encoding: 'map' | 'array', bufferSteps = Infinity) {
    this.#encoding = encoding;
    this.#bufferSteps = bufferSteps;
    this.#nextName = (BigInt(process) << 40n) + 0xfedc_0000_0000_0001n;
    this.#ts = 1000 * process;
  }

  get nextSeq(): number {
    return this.#seq;
  }

  /** Computes so many blocks behind one that is held, or from the beginning of a prompt. */
  store(blocks: number, parent: EngineBlock | undefined, token: number): Published {
    const stored: EngineBlock[] = [];
    let before = parent?.name;
    for (let i = 0; i < blocks; i += 1) {
      const block = { name: this.#nextName, parent: before, tokens: [token, i] };
      this.#nextName += 7n;
      this.held.set(block.name, block);
      stored.push(block);
      before = block.name;
    }
    const names = stored.map(({ name }) => name);
    const tokens = stored.flatMap((block) => block.tokens);
    return this.publish(
      this.#encoding === 'array'
        ? ['BlockStored', names, parent?.name ?? null, tokens, BLOCK_SIZE, null, 'GPU', null]
        : {
            type: 'BlockStored',
            block_hashes: names,
            parent_block_hash: parent?.name ?? null,
            token_ids: tokens,
            block_size: BLOCK_SIZE,
            medium: 'GPU',
          },
    );
  }

  remove(blocks: readonly EngineBlock[]): Published {
    for (const { name } of blocks) this.held.delete(name);
    return this.publish(
      ...blocks.map(({ name }) =>
        this.#encoding === 'array'
          ? ['BlockRemoved', [name], 'GPU']
          : { type: 'BlockRemoved', block_hashes: [name], medium: 'GPU' },
      ),
    );
  }

  clear(): Published {
    this.held.clear();
    return this.publish(this.#encoding === 'array' ? ['AllBlocksCleared'] : { type: 'AllBlocksCleared' });
  }

  /** A batch of whatever events. */
  publish(...events: readonly unknown[]): Published {
    this.#ts += 1;
    const payload = Buffer.from(encode([this.#ts, events, 0], { useBigInt64: true }));
    const published = { seq: this.#seq, payload };
    this.#seq += 1;
    this.buffer.push(published);
    if (this.buffer.length > this.#bufferSteps) this.buffer.shift();
    return published;
  }
}

export function seqFrame(seq: number): Buffer {
  const frame = Buffer.alloc(8);
  frame.writeBigUInt64BE(BigInt(seq));
  return frame;
}
