import { AttentionGroups } from '../cache-knowledge/events/attention-groups.ts';
import { BatchDecoder } from '../cache-knowledge/events/batch-decoder.ts';
import type { BlockName, StoredEvent } from '../cache-knowledge/events/kv-event.ts';
import { chainBlocks, chainRoot, tokenChain, type ChainLink } from '../routing/token-chain.ts';
import type { PeerEnd } from '../zmtp/peer.ts';
import type { RedialOptions } from '../zmtp/redial.ts';
import { SubSocket } from '../zmtp/sub.ts';
import type { EventEndpoint } from './event-endpoints.ts';

/** Blocks that are kept while a probe is waited for; an engine that stores more meanwhile has more to do than we can look at. */
const MOST_BLOCKS = 100_000;
const SEQ_BYTES = 8;

/** Which event named a block. */
export interface Named {
  readonly endpoint: EventEndpoint;
  readonly seq: bigint;
  readonly blockSize: number;
  readonly topic: string;
}

/** What came while it listened. */
export interface Heard {
  messages: number;
  /** Of the first message that could not be read. */
  unreadable: string | undefined;
  /** Tokens in a block, of the latest blocks. */
  blockSize: number | undefined;
}

/** Listens to all ranks of one worker for as long as a probe takes, on every topic. */
export class EventListener {
  readonly heard: Heard = { messages: 0, unreadable: undefined, blockSize: undefined };
  /** Why the latest connection did not come about or ended. */
  readonly ends = new Map<EventEndpoint, PeerEnd>();
  readonly #decoder = new BatchDecoder();
  readonly #sockets: readonly SubSocket[];
  readonly #ready = new Set<EventEndpoint>();
  readonly #groups = new Map<EventEndpoint, AttentionGroups>();
  /** By the hash of a block with all before it. */
  readonly #named = new Map<bigint, Named>();
  /** The same by what the engine calls it. */
  readonly #links = new Map<bigint, ChainLink>();
  #onNews: () => void = () => undefined;

  constructor(endpoints: readonly EventEndpoint[], options: RedialOptions) {
    this.#sockets = endpoints.map(
      (endpoint) =>
        new SubSocket(endpoint.events, [''], options, {
          onReady: () => {
            this.#ready.add(endpoint);
            this.#onNews();
          },
          onMessage: (frames) => {
            this.#take(endpoint, frames);
            this.#onNews();
          },
          onEnd: (end) => {
            this.#ready.delete(endpoint);
            this.ends.set(endpoint, end);
            this.#onNews();
          },
        }),
    );
  }

  /** Resolves when all connections stand, or one has come to nothing. */
  connected(signal: AbortSignal): Promise<void> {
    return this.#until(() => this.ends.size > 0 || this.#ready.size === this.#sockets.length, signal);
  }

  /** The event that named the last full block of a prompt with all before it; undefined where none does before `signal`. */
  async namesOf(ids: Uint32Array, signal: AbortSignal): Promise<Named | undefined> {
    await this.#until(() => this.#find(ids) !== undefined, signal);
    return this.#find(ids);
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds() && !signal.aborted) return;
        this.#onNews = () => undefined;
        signal.removeEventListener('abort', look);
        resolve();
      };
      this.#onNews = look;
      signal.addEventListener('abort', look);
      look();
    });
  }

  #find(ids: Uint32Array): Named | undefined {
    const { blockSize } = this.heard;
    if (blockSize === undefined) return undefined;
    const { count, hashes } = tokenChain(ids, { blockSize, adapter: '', salt: '' });
    return count === 0 ? undefined : this.#named.get(keyOf(hashes, count - 1));
  }

  /** Topic, sequence and payload. */
  #take(endpoint: EventEndpoint, frames: readonly Buffer[]): void {
    const { heard } = this;
    heard.messages += 1;
    const [topic, seq, payload] = frames;
    if (frames.length !== 3 || seq?.length !== SEQ_BYTES || !topic || !payload) {
      heard.unreadable ??= `${String(frames.length)} frames`;
      return;
    }
    const groups = this.#groups.get(endpoint) ?? new AttentionGroups();
    this.#groups.set(endpoint, groups);
    const batch = this.#decoder.decode(payload, groups);
    if (batch.kind === 'malformed') heard.unreadable ??= batch.reason;
    else
      for (const event of batch.events)
        if (event.kind === 'stored')
          this.#store({ endpoint, seq: seq.readBigUInt64BE(), topic: topic.toString('utf8') }, event);
  }

  #store(message: Omit<Named, 'blockSize'>, event: StoredEvent): void {
    const { blockSize, adapter, salt, names, tokens, extras } = event;
    const count = names.length / 2;
    if (blockSize === 0 || this.#links.size + count > MOST_BLOCKS) return;
    const parent = event.parent
      ? this.#links.get(nameOf(event.parent))
      : chainRoot({ blockSize, adapter, salt });
    // What it is the rest of was there before we listened.
    if (!parent) return;
    this.heard.blockSize = blockSize;
    const hashes = new Uint32Array(2 * count);
    chainBlocks(hashes, parent, tokens, blockSize, { first: 0, end: count, extras });
    for (let block = 0; block < count; block += 1) {
      this.#named.set(keyOf(hashes, block), { ...message, blockSize });
      this.#links.set(keyOf(names, block), { low: hashes[2 * block] ?? 0, high: hashes[2 * block + 1] ?? 0 });
    }
  }
}

function keyOf(halves: Uint32Array, block: number): bigint {
  return nameOf({ low: halves[2 * block] ?? 0, high: halves[2 * block + 1] ?? 0 });
}

function nameOf({ low, high }: BlockName): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}
