/** An engine's prefix cache on the GPU, as the engine says it is. */
export interface CacheConfig {
  /** Tokens in a block; hits are whole blocks. */
  readonly blockSize: number;
  /** Undefined where it does not say. Of a server with several engines that is one worker: those of all. */
  readonly blocks: number | undefined;
  /** Undefined where it does not say. */
  readonly prefixCaching: boolean | undefined;
}

/** Where one engine (data-parallel rank) of a server publishes what its cache takes in and gives up. */
export interface EventSource {
  readonly rank: number;
  /** As the engine names it, e.g. `tcp://*:5557`. */
  readonly endpoint: string;
  readonly replayEndpoint: string | undefined;
  readonly topic: string;
}

/** What a worker tells of its cache. Undefined: not known, by now or at all. */
export interface CacheFacts {
  readonly cacheConfig: CacheConfig | undefined;
  /** Empty: it publishes no events. */
  readonly eventSources: readonly EventSource[] | undefined;
}

/** vLLM's default, for workers that do not tell. */
export const USUAL_BLOCK_SIZE = 16;

export function blockSizeOf(config: CacheConfig | undefined): number {
  return config?.blockSize ?? USUAL_BLOCK_SIZE;
}

export function sameConfig(one: CacheConfig | undefined, other: CacheConfig | undefined): boolean {
  return (
    one?.blockSize === other?.blockSize &&
    one?.blocks === other?.blocks &&
    one?.prefixCaching === other?.prefixCaching
  );
}

export function sameSources(
  some: readonly EventSource[] | undefined,
  others: readonly EventSource[] | undefined,
): boolean {
  if (some === undefined || others === undefined) return some === others;
  return some.length === others.length && some.every((source, at) => isSame(source, others[at]));
}

function isSame(one: EventSource, other: EventSource | undefined): boolean {
  return (
    one.rank === other?.rank &&
    one.endpoint === other.endpoint &&
    one.replayEndpoint === other.replayEndpoint &&
    one.topic === other.topic
  );
}

/** Of the cards of `/v1/models`, the names that mean an adapter: vLLM gives those a `parent`. */
export function adaptersOf(cards: readonly unknown[]): ReadonlySet<string> {
  const adapters = new Set<string>();
  for (const card of cards)
    if (isCard(card) && typeof card.parent === 'string' && typeof card.id === 'string') adapters.add(card.id);
  return adapters;
}

function isCard(card: unknown): card is { readonly id?: unknown; readonly parent?: unknown } {
  return typeof card === 'object' && card !== null;
}
