import type { PromptBlocks } from '../../routing/blocks.ts';

/** One request of a trace: how long, what it shares with others, and when; never its text. */
export interface TraceRequest {
  /** Arrival, ms from the beginning of the trace. */
  readonly at: number;
  readonly promptTokens: number;
  /** Tokens generated; 0 for prefill-only work. */
  readonly outputTokens: number;
  /** The full blocks of the prompt, as policies see them and as the engines cache them. */
  readonly blocks: PromptBlocks;
  /** Names the conversation, where the trace tells. */
  readonly session: string | undefined;
}

/** Longer prompts or answers are mistakes of the file. */
export const MOST_TOKENS = 16_777_216;

export function isTokenCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_TOKENS;
}

/** In order of arrival. */
export interface Trace {
  readonly name: string;
  readonly requests: readonly TraceRequest[];
  /** Tokens that one block of the trace stands for; the engines run with blocks of this size. */
  readonly blockSize: number;
}
