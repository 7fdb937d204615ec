import { isObject } from './prompt-sink.ts';

/** Token counts as the worker reports them. */
export interface Usage {
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  /** vLLM: `usage.prompt_tokens_details.cached_tokens`, with `--enable-prompt-tokens-details` only. */
  readonly cachedTokens: number | undefined;
}

/**
 * Finds the last `usage` object in a piece of a response. Inside a JSON string the quotes would be escaped, so text
 * that talks about usage cannot be mistaken for it.
 */
export function findUsage(text: string): Usage | undefined {
  for (
    let at = text.lastIndexOf('"usage"');
    at >= 0;
    at = at > 0 ? text.lastIndexOf('"usage"', at - 1) : -1
  ) {
    const usage = usageAt(text, at + '"usage"'.length);
    if (usage) return usage;
  }
  return undefined;
}

function usageAt(text: string, from: number): Usage | undefined {
  const colon = skipSpace(text, from);
  if (text.charCodeAt(colon) !== COLON) return undefined;
  const start = skipSpace(text, colon + 1);
  if (text.charCodeAt(start) !== OPEN_BRACE) return undefined;
  const end = closingBrace(text, start);
  if (end < 0) return undefined;
  try {
    const value: unknown = JSON.parse(text.slice(start, end));
    return isObject(value) ? toUsage(value) : undefined;
  } catch {
    return undefined;
  }
}

const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const SPACE = 0x20;

function skipSpace(text: string, from: number): number {
  let at = from;
  // The white space of JSON, and control characters, which the parse would refuse.
  while (text.charCodeAt(at) <= SPACE) at += 1;
  return at;
}

/** `usage` holds no strings with braces, so counting is enough; what is not JSON fails in the parse. */
function closingBrace(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === OPEN_BRACE) depth += 1;
    else if (unit === CLOSE_BRACE) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

/** OpenAI's names, or those of the responses and messages APIs. */
function toUsage(value: Readonly<Record<string, unknown>>): Usage | undefined {
  const promptTokens = count(value['prompt_tokens']) ?? count(value['input_tokens']);
  const completionTokens = count(value['completion_tokens']) ?? count(value['output_tokens']);
  if (promptTokens === undefined && completionTokens === undefined) return undefined;
  const details = value['prompt_tokens_details'] ?? value['input_tokens_details'];
  const cachedTokens = isObject(details)
    ? count(details['cached_tokens'])
    : count(value['cache_read_input_tokens']);
  return { promptTokens, completionTokens, cachedTokens };
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined;
}
