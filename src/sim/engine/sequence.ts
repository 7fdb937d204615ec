import type { CacheScope } from './cache-scope.ts';
import type { EngineStats, FinishedReason } from './engine-stats.ts';

/** What a sequence consists of: nobody needs it but who tells others of its blocks. */
export interface SequenceTokens {
  /** Prompt and what will be generated. */
  readonly ids: Int32Array;
  readonly scope: CacheScope;
}

export interface SequenceAsk {
  readonly promptTokens: number;
  /** Tokens to generate; 0 for prefill-only work (embeddings, scores). */
  readonly outputTokens: number;
  /** Chained block hashes of the prompt and what will be generated, two words per block (`blockHashes`). */
  readonly hashes: Uint32Array;
  readonly tokens?: SequenceTokens | undefined;
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
  state: 'waiting' | 'running' | 'done' | 'aborted' = 'waiting';
  generated = 0;
  /** Prompt tokens found in the cache when it was first scheduled. */
  cachedTokens = 0;
  preemptions = 0;
  readonly arrivedAt: number;
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
    this.arrivedAt = arrivedAt;
  }

  get tokens(): number {
    return this.ask.promptTokens + this.generated;
  }
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
