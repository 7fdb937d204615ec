import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { isTokenCount, type TraceRequest } from './trace.ts';

/** Tokens per hash id in the published traces. */
export const MOONCAKE_BLOCK_TOKENS = 512;

/**
 * One line of a Mooncake trace (JSONL: `timestamp` ms, `input_length`, `output_length`, `hash_ids` of 512-token blocks,
 * the last of which may be partly filled). Returns what is wrong with it instead, where something is.
 */
export function parseMooncakeLine(line: string): TraceRequest | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'not valid JSON';
  }
  if (typeof value !== 'object' || value === null) return 'not a JSON object';
  const { timestamp, input_length, output_length, hash_ids } = value as Readonly<Record<string, unknown>>;
  if (!isNumber(timestamp)) return 'timestamp is not a number of ms';
  if (!isTokenCount(input_length) || input_length < 1) return 'input_length is not a number of tokens';
  if (!isTokenCount(output_length)) return 'output_length is not a number of tokens';
  if (!Array.isArray(hash_ids) || !hash_ids.every(isId)) return 'hash_ids is not a list of whole numbers';
  return {
    at: timestamp,
    promptTokens: input_length,
    outputTokens: output_length,
    blocks: blocksFromHashIds(hash_ids, MOONCAKE_BLOCK_TOKENS, input_length),
    session: undefined,
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isId(value: unknown): value is number {
  return isNumber(value) && Number.isSafeInteger(value);
}
