import type { Choice, Pool } from '../policy.ts';

const REASON = /^[a-z][a-z0-9_]{0,63}$/;

/**
 * What a foreign policy returned, as a choice that the path may rely on; or what it is instead, in words that follow
 * "returned". Read once, so that it cannot change afterwards.
 */
export function checkedChoice(value: unknown, pool: Pool): Choice | string {
  if (typeof value !== 'object' || value === null) return `${String(value)} instead of a choice`;
  // Everything is looked at before it is used.
  const { kind, index, reason, scores, matchedTokens } = value as Readonly<Record<string, unknown>>;
  if (kind === 'none') return `nobody although ${pool.eligible} members may be chosen`;
  if (kind !== 'chosen') return `a choice of the kind ${JSON.stringify(kind)}`;
  const size = pool.members.length;
  if (typeof index !== 'number' || !Number.isInteger(index)) return `the index ${String(index)}`;
  if (index < 0 || index >= size) return `the index ${index} of ${size} members`;
  if (pool.mask[index] !== 0) return `a member that may not be chosen (mask ${pool.mask[index] ?? 0})`;
  if (typeof reason !== 'string' || !REASON.test(reason)) return 'a reason that is no short_word_like_this';
  if (scores !== undefined && !isRow(scores, size)) return `scores that are no Float64Array of ${size}`;
  if (matchedTokens !== undefined && !(isRow(matchedTokens, size) && matchedTokens.every(isTokenCount)))
    return `matchedTokens that are no Float64Array of ${size} token counts`;
  return {
    kind,
    index,
    reason,
    ...(scores === undefined ? {} : { scores }),
    ...(matchedTokens === undefined ? {} : { matchedTokens }),
  };
}

function isRow(value: unknown, length: number): value is Float64Array {
  return value instanceof Float64Array && value.length === length;
}

/** The load ledger counts with it. */
function isTokenCount(value: number): boolean {
  return Number.isNaN(value) || (value >= 0 && value < Infinity);
}
