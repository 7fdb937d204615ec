import { Histogram } from '../server/histogram.ts';

/** vLLM's bucket bounds, seconds and tokens. */
const TTFT_BOUNDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const TOKEN_TIME_BOUNDS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const REQUEST_BOUNDS = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const ITERATION_BOUNDS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];
const LENGTH_BOUNDS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000,
];

export const FINISHED_REASONS = ['stop', 'length', 'abort', 'error'] as const;
export type FinishedReason = (typeof FINISHED_REASONS)[number];

/** What an engine counts, under the names of vLLM's metrics. Tokens, seconds, requests. */
export class EngineStats {
  promptTokens = 0;
  generationTokens = 0;
  prefixCacheQueries = 0;
  prefixCacheHits = 0;
  /** Of tiers behind the GPU. */
  externalCacheQueries = 0;
  externalCacheHits = 0;
  preemptions = 0;
  readonly finished: Record<FinishedReason, number> = { stop: 0, length: 0, abort: 0, error: 0 };
  readonly timeToFirstToken = new Histogram(TTFT_BOUNDS);
  readonly interTokenLatency = new Histogram(TOKEN_TIME_BOUNDS);
  readonly timePerOutputToken = new Histogram(TOKEN_TIME_BOUNDS);
  readonly endToEnd = new Histogram(REQUEST_BOUNDS);
  readonly queueTime = new Histogram(REQUEST_BOUNDS);
  readonly prefillTime = new Histogram(REQUEST_BOUNDS);
  readonly decodeTime = new Histogram(REQUEST_BOUNDS);
  readonly inferenceTime = new Histogram(REQUEST_BOUNDS);
  readonly iterationTokens = new Histogram(ITERATION_BOUNDS);
  readonly requestPromptTokens = new Histogram(LENGTH_BOUNDS);
  readonly requestGenerationTokens = new Histogram(LENGTH_BOUNDS);
}
