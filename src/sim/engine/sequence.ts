import type { CacheScope } from './cache-scope.ts';
import type { EngineStats, FinishedReason } from './engine-stats.ts';

/** What a sequence consists of: nobody needs it but who tells others of its blocks. */
export interface SequenceTokens {
  /** Prompt and what will be generated. */
  readonly ids: Int32Array;
  readonly scope: CacheScope;
}

/**
 * Keys and values of a prompt that another engine has computed and that come over the network, as vLLM's KV connectors
 * bring them. The engine takes blocks for the whole prompt, then waits, and computes only the last token.
 */
export interface IncomingKv {
  /**
   * Called once, when the blocks are there: `tokens` prompt tokens are not cached here (1 at least). `settle` says, at once
   * or later, whether they have come; where not, the prompt is computed here. It has no effect on what was aborted meanwhile.
   */
  fetch(tokens: number, settle: (arrived: boolean) => void): void;
}

export interface SequenceAsk {
  readonly promptTokens: number;
  /** Tokens to generate; 0 for prefill-only work (embeddings, scores). */
  readonly outputTokens: number;
  /** Chained block hashes of the prompt and what will be generated, two words per block (`blockHashes`). */
  readonly hashes: Uint32Array;
  readonly tokens?: SequenceTokens | undefined;
  readonly incoming?: IncomingKv | undefined;
  /** Its blocks stay taken when it is done, for another engine to fetch them: until `WorkerModel.giveBack`. */
  readonly keepsBlocks?: boolean | undefined;
  /** How it ends when it is not aborted. */
  readonly finishedReason: FinishedReason;
  /** `count` tokens more, at once after the step that made them. Not set: only the end is of interest. */
  readonly onTokens?: (count: number) => void;
  /** Called once, after the last `onTokens`; never after an abort. */
  readonly onDone: (sequence: Sequence) => void;
}

/** One request inside the engine. Times are the clock's, ms; NaN until they happen. */
export class Sequence {
  readonly ask: SequenceAsk;
  /** `fetching`: it has its blocks, and what belongs in them is under way from another engine. */
  state: 'waiting' | 'fetching' | 'running' | 'done' | 'aborted' = 'waiting';
  /** Where the prompt still has to come from; undefined once it has been tried. */
  incoming: IncomingKv | undefined;
  generated = 0;
  /** Prompt tokens found in the cache when it was first scheduled. */
  cachedTokens = 0;
  preemptions = 0;
  readonly arrivedAt: number;
  /** From when on it can be scheduled: it came, or what it fetched did. */
  readyAt: number;
  /** Whether the caches have been asked what they have of it. */
  isLookedUp = false;
  scheduledAt = NaN;
  firstTokenAt = NaN;
  lastTokenAt = NaN;
  finishedAt = NaN;
  /** Tokens whose keys and values are in its blocks. */
  computed = 0;
  readonly blocks: number[] = [];
  /** Tokens it gets in the step under way. */
  share = 0;
  /** Tokens generated and not yet told. */
  fresh = 0;

  constructor(ask: SequenceAsk, arrivedAt: number) {
    this.ask = ask;
    this.incoming = ask.incoming;
    this.arrivedAt = arrivedAt;
    this.readyAt = arrivedAt;
  }

  get tokens(): number {
    return this.ask.promptTokens + this.generated;
  }
}

/** Counts what was found of a prompt when its turn first came; blocks. Without effect when it has to begin again. */
export function recordLookUp(
  stats: EngineStats,
  sequence: Sequence,
  found: {
    readonly onGpu: number;
    readonly onCpu: number;
    readonly blockSize: number;
    readonly hasCpu: boolean;
  },
): void {
  if (sequence.isLookedUp) return;
  const { onGpu, onCpu, blockSize } = found;
  const { promptTokens, incoming } = sequence.ask;
  sequence.isLookedUp = true;
  sequence.cachedTokens = (onGpu + onCpu) * blockSize;
  stats.prefixCacheQueries += promptTokens;
  stats.prefixCacheHits += onGpu * blockSize;
  if (!found.hasCpu && !incoming) return;
  stats.externalCacheQueries += promptTokens - onGpu * blockSize;
  stats.externalCacheHits += onCpu * blockSize;
}

/** Counts a token that has just been generated. */
export function recordToken(stats: EngineStats, sequence: Sequence, now: number): void {
  if (sequence.generated === 1) {
    sequence.firstTokenAt = now;
    stats.promptTokens += sequence.ask.promptTokens;
    stats.timeToFirstToken.observe((now - sequence.arrivedAt) / 1000);
  } else {
    stats.interTokenLatency.observe((now - sequence.lastTokenAt) / 1000);
  }
  sequence.lastTokenAt = now;
  stats.generationTokens++;
}

/** Counts a sequence that has come to its end. */
export function recordEnd(stats: EngineStats, sequence: Sequence): void {
  const { outputTokens, promptTokens, finishedReason } = sequence.ask;
  const endedAt = sequence.finishedAt;
  stats.finished[finishedReason]++;
  if (outputTokens === 0) stats.promptTokens += promptTokens;
  const firstTokenAt = outputTokens === 0 ? endedAt : sequence.firstTokenAt;
  stats.endToEnd.observe((endedAt - sequence.arrivedAt) / 1000);
  stats.queueTime.observe((sequence.scheduledAt - sequence.arrivedAt) / 1000);
  stats.prefillTime.observe((firstTokenAt - sequence.scheduledAt) / 1000);
  stats.decodeTime.observe((endedAt - firstTokenAt) / 1000);
  stats.inferenceTime.observe((endedAt - sequence.scheduledAt) / 1000);
  stats.requestPromptTokens.observe(promptTokens);
  stats.requestGenerationTokens.observe(outputTokens);
  if (outputTokens > 1) {
    stats.timePerOutputToken.observe((endedAt - firstTokenAt) / 1000 / (outputTokens - 1));
  }
}
