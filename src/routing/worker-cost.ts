import type { PoolColumns } from './stage-columns.ts';
import { uncachedTokens } from './uncached.ts';

/** What is asked, wherever it is served. */
export interface CostAsk {
  readonly promptTokens: number;
  /** Tokens that its answer is expected to have. */
  readonly answerTokens: number;
  /** What a second that answers are delayed is worth against a second of the wait for this request's first token. */
  readonly theta: number;
}

/**
 * What one more running request adds to a step of decoding, as the prompt tokens that are computed in that time. Decoding is bound by
 * the memory's bandwidth and prefill by arithmetic, but both grow with the engine: 0.35 ms beside 8,000 tokens a second.
 */
const DECODE_AS_PREFILL = 3;

/** Seconds until the prompts that wait there and this one's missing tokens are computed: `(Q + U) / rate`. */
export function firstTokenSeconds(columns: PoolColumns, index: number, { promptTokens }: CostAsk): number {
  const uncached = uncachedTokens(promptTokens, columns.saved[index]!);
  return (columns.prefillTokens[index]! + uncached) / columns.prefillRate[index]!;
}

/**
 * Seconds that computing it delays others there, as in `least_work`: `theta * n * U / rate`. Where answers are decoded these are stalled;
 * of a prefill worker the n that wait stand for those who will wait behind it.
 */
export function stallSeconds(columns: PoolColumns, index: number, { promptTokens, theta }: CostAsk): number {
  const uncached = uncachedTokens(promptTokens, columns.saved[index]!);
  return (theta * columns.running[index]! * uncached) / columns.prefillRate[index]!;
}

/**
 * What decoding its answer there costs, in seconds. Each of its `A` tokens takes longer for each of the `n` that are decoded with it, and
 * as much is added to every one of theirs: `theta * 2 A n d`, where d is what one request adds to a step.
 */
export function batchSeconds(columns: PoolColumns, index: number, { answerTokens, theta }: CostAsk): number {
  const tokens = 2 * answerTokens * columns.running[index]! * DECODE_AS_PREFILL;
  return (theta * tokens) / columns.prefillRate[index]!;
}

/**
 * What the place costs that its prompt takes in a cache, in seconds: as many tokens of others go, and will be computed again, which costs
 * `(1 + theta * n) / rate` for each. Without it prompts wander from cache to cache as soon as others compute them, until none is found anywhere.
 */
export function roomSeconds(columns: PoolColumns, index: number, { promptTokens, theta }: CostAsk): number {
  const missing = Math.max(0, promptTokens - columns.saved[index]!);
  return (missing * (1 + theta * columns.running[index]!)) / columns.prefillRate[index]!;
}

/**
 * Seconds for its tokens of KV cache that there is no room for, those left out that are there: who does not fit waits, or pushes out
 * another, which is computed again.
 */
export function overflowSeconds(columns: PoolColumns, index: number, tokens: number): number {
  const needed = Math.max(0, tokens - columns.saved[index]!);
  const over = Math.min(needed, columns.kvTokens[index]! + needed - columns.kvCapacity[index]!);
  return over > 0 ? over / columns.prefillRate[index]! : 0;
}
