import { isObject, type JsonObject } from './prompt-sink.ts';

/** Token counts as the worker reports them; undefined = not told, or told so that it cannot be true. */
export interface Usage {
  /** The whole prompt, what was cached of it included. */
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  /** vLLM: `usage.prompt_tokens_details.cached_tokens`, with `--enable-prompt-tokens-details` only. */
  readonly cachedTokens: number | undefined;
}

/**
 * What the `usage` of an answer says. `nested` stands inside of the answer that an event carries: whole in the last event
 * of the responses API; in the first one of the messages API its beginning, which the last event's, `top`, completes.
 */
export function readUsage(top: string | undefined, nested: string | undefined): Usage | undefined {
  const last = parseObject(top);
  const first = parseObject(nested);
  if (!first) return last && usageOf(last);
  if (last) return usageOf({ ...first, ...told(last) });
  // The first event of a message cannot know how long the answer will be.
  return usageOf('total_tokens' in first ? first : { ...first, output_tokens: null });
}

function parseObject(text: string | undefined): JsonObject | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function told(usage: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== null));
}

/** `null` is not told; NaN = no number of tokens. */
function count(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : NaN;
}

/** OpenAI's names, or those of the responses and messages APIs. */
function usageOf(value: JsonObject): Usage | undefined {
  const completion = count(value['completion_tokens'] ?? value['output_tokens']);
  const total = count(value['total_tokens']);
  const { prompt, cached } = promptOf(value, completion === undefined ? total : undefined);
  const completionTokens = Number.isNaN(completion) ? undefined : completion;
  if (prompt === undefined) {
    return completionTokens === undefined
      ? undefined
      : { promptTokens: undefined, completionTokens, cachedTokens: undefined };
  }
  const consistent = total === undefined || prompt + (completionTokens ?? 0) <= total;
  if (!consistent) return { promptTokens: undefined, completionTokens, cachedTokens: undefined };
  return { promptTokens: prompt, completionTokens, cachedTokens: cached };
}

interface Prompt {
  readonly prompt?: number | undefined;
  readonly cached?: number | undefined;
}

/** Nothing where it contradicts itself: more cached than there is. `total` is all that some answers without text tell. */
function promptOf(value: JsonObject, total: number | undefined): Prompt {
  const given = count(value['prompt_tokens'] ?? value['input_tokens']) ?? total;
  if (given === undefined || Number.isNaN(given)) return {};
  const details = value['prompt_tokens_details'] ?? value['input_tokens_details'];
  if (isObject(details)) {
    const cached = count(details['cached_tokens']);
    const created = count(details['created_cache_tokens'] ?? details['cache_write_tokens']);
    return (cached ?? 0) + (created ?? 0) <= given ? { prompt: given, cached } : {};
  }
  const cached = count(value['cache_read_input_tokens']);
  const created = count(value['cache_creation_input_tokens']);
  // The messages API counts as input what was neither read from the cache nor put into it.
  const prompt = given + (cached ?? 0) + (created ?? 0);
  return Number.isNaN(prompt) ? {} : { prompt, cached };
}
