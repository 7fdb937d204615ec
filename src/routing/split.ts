import type { PoolColumns } from './stage-columns.ts';
import {
  batchSeconds,
  firstTokenSeconds,
  overflowSeconds,
  roomSeconds,
  stallSeconds,
  type CostAsk,
} from './worker-cost.ts';

/** When a request is served by a pair rather than by one worker. */
export type SplitRule =
  | { readonly kind: 'always' | 'never' }
  /** Where a pair is expected to be sooner. */
  | { readonly kind: 'auto' }
  /** From so many prompt tokens on that are not cached where it would run whole: llm-d's rule. */
  | { readonly kind: 'threshold'; readonly tokens: number };

export type SplitReason =
  'always' | 'never' | 'pair_sooner' | 'whole_sooner' | 'long' | 'short' | 'no_pair' | 'no_whole';

export interface SplitChoice {
  readonly split: boolean;
  readonly reason: SplitReason;
  /** Expected of the best pair and of the best whole run; undefined where there is none, or where nobody asked. */
  readonly pairSeconds: number | undefined;
  readonly wholeSeconds: number | undefined;
}

export interface Alternatives {
  readonly pair: { readonly seconds: number } | undefined;
  readonly whole: WholeChoice | undefined;
}

export interface WholeChoice {
  /** Index into the pool of those that serve requests whole. */
  readonly index: number;
  readonly seconds: number;
  readonly uncachedTokens: number;
}

/** Whether to split. Where one of the two is not to be had it is the other; where both are not, `split` is false. */
export function chooseSplit(rule: SplitRule, { pair, whole }: Alternatives): SplitChoice {
  const told = { pairSeconds: pair?.seconds, wholeSeconds: whole?.seconds };
  const choice = (split: boolean, reason: SplitReason): SplitChoice => ({ split, reason, ...told });
  if (rule.kind === 'never') return choice(false, 'never');
  if (pair === undefined) return choice(false, 'no_pair');
  if (rule.kind === 'always') return choice(true, 'always');
  if (whole === undefined) return choice(true, 'no_whole');
  if (rule.kind === 'threshold') {
    const isLong = whole.uncachedTokens >= rule.tokens;
    return choice(isLong, isLong ? 'long' : 'short');
  }
  const isSooner = pair.seconds < whole.seconds;
  return choice(isSooner, isSooner ? 'pair_sooner' : 'whole_sooner');
}

/**
 * What a whole run costs at a member, in seconds: the score of `least_work`, and what place and answer cost there, as for a pair:
 *
 *     S(W) = (Q + U) / rate  +  theta * n * U / rate  +  R  +  theta * 2 A n d  +  O
 */
export function wholeSeconds(ask: CostAsk, columns: PoolColumns, index: number): number {
  return (
    firstTokenSeconds(columns, index, ask) +
    stallSeconds(columns, index, ask) +
    roomSeconds(columns, index, ask) +
    batchSeconds(columns, index, ask) +
    overflowSeconds(columns, index, ask.promptTokens + ask.answerTokens)
  );
}

/** Who serves it whole at the least cost; undefined where nobody may. */
export function bestWhole(ask: CostAsk, columns: PoolColumns): WholeChoice | undefined {
  let best = -1;
  let lowest = Infinity;
  for (let index = 0; index < columns.slots.length; index++) {
    const seconds = wholeSeconds(ask, columns, index);
    if (!(seconds < lowest)) continue;
    best = index;
    lowest = seconds;
  }
  return best < 0 ? undefined : wholeAt(ask, columns, best);
}

/** The same of a member that a policy has chosen. */
export function wholeAt(ask: CostAsk, columns: PoolColumns, index: number): WholeChoice {
  return {
    ...{ index, seconds: wholeSeconds(ask, columns, index) },
    uncachedTokens: Math.max(0, ask.promptTokens - columns.saved[index]!),
  };
}
