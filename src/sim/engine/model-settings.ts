export interface ModelSettings {
  /** Tokens computed per second of prefill. */
  readonly prefillTokensPerSecond: number;
  /** A decode step takes `decodeBaseMs + decodePerRequestMs * decoding requests`. */
  readonly decodeBaseMs: number;
  readonly decodePerRequestMs: number;
  /** Tokens of one step, prefill chunks and decodes together (`max_num_batched_tokens`). */
  readonly stepTokens: number;
  /** Requests in the batch at once (`max_num_seqs`). */
  readonly maxRunning: number;
  readonly blockSize: number;
  readonly blocks: number;
  /** Blocks of CPU memory that full blocks are copied to and loaded back from; 0: none. */
  readonly cpuBlocks: number;
  /** Tokens per second that come back from there. */
  readonly cpuLoadTokensPerSecond: number;
  readonly prefixCaching: boolean;
  /** Longest prompt plus output, tokens. */
  readonly maxModelLen: number;
  /** Multiplies every duration: 1 is real time, 0 takes no time at all. */
  readonly timeScale: number;
}

export const MODEL_DEFAULTS: ModelSettings = {
  prefillTokensPerSecond: 8000,
  decodeBaseMs: 6,
  decodePerRequestMs: 0.35,
  stepTokens: 2048,
  maxRunning: 256,
  blockSize: 16,
  blocks: 32768,
  cpuBlocks: 0,
  // 20 GB/s at 128 KiB a token, as of a model of 8 billion parameters.
  cpuLoadTokensPerSecond: 160_000,
  prefixCaching: true,
  maxModelLen: 131072,
  timeScale: 1,
};
