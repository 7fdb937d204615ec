import type { PromptBlocks } from '../../routing/blocks.ts';
import type { Ask, ChainKey, HashKey, Holdings } from '../../routing/policy.ts';
import type { TraceRequest } from '../traces/trace.ts';

const NO_IDS = new Uint32Array(0);

/** A request of a trace as policies see it. `isTokenized`: workers' blocks of its tokens are known, not its text alone. */
export class TraceAsk implements Ask {
  readonly model = '';
  readonly stream = true;
  readonly #request: TraceRequest;
  readonly #isTokenized: boolean;
  readonly holdings: Holdings | undefined;

  constructor(request: TraceRequest, isTokenized: boolean, holdings: Holdings | undefined) {
    this.holdings = holdings;
    this.#request = request;
    this.#isTokenized = isTokenized;
  }

  blocks(): PromptBlocks {
    return this.#request.blocks;
  }

  /** A trace has blocks of tokens in the place of ids: all that is asked here is whether they are known. */
  tokenIds(): Uint32Array | undefined {
    return this.#isTokenized ? NO_IDS : undefined;
  }

  chain(key: ChainKey): PromptBlocks | undefined {
    const blocks = this.blocks();
    if (key === 'text') return blocks;
    return this.#isTokenized && key.blockSize === blocks.tokensPerBlock ? blocks : undefined;
  }

  hashKey(): HashKey {
    const { session, blocks, promptTokens } = this.#request;
    if (session !== undefined) return { source: 'session', value: session, sticky: true };
    const { hashes, count } = blocks;
    const last = count === 0 ? '' : `${String(hashes[2 * count - 2])}:${String(hashes[2 * count - 1])}`;
    return { source: 'prompt', value: `${last}:${String(promptTokens)}`, sticky: false };
  }
}
