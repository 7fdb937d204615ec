import { isObject, type JsonObject } from '../prompt-sink.ts';

/** How an answer ended, as far as that is known. */
export interface Ending {
  readonly finishReason: unknown;
  /** vLLM's own: the stop string that was met, or a token's id. */
  readonly stopReason: unknown;
  readonly usesTool: boolean;
  /** Whether the arguments of the last tool are there to their end: a stop string may have cut them off. */
  readonly isToolWhole: boolean;
}

/** `stop_reason` and `stop_sequence`. Models that were made to use a tool end with `stop`, and those that met a stop string, too. */
export function stopOf({ finishReason, stopReason, usesTool, isToolWhole }: Ending): {
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
} {
  const reason = (stop_reason: string): ReturnType<typeof stopOf> => ({ stop_reason, stop_sequence: null });
  if (finishReason === 'length') return reason('max_tokens');
  const calls = finishReason === 'tool_calls' || finishReason === 'function_call';
  const isStop = finishReason === 'stop' || finishReason === undefined || finishReason === null;
  if (!calls && !isStop) {
    const other = typeof finishReason === 'string' && finishReason !== 'content_filter';
    return reason(other ? finishReason : 'end_turn');
  }
  if (usesTool && isToolWhole) return reason('tool_use');
  if (typeof stopReason === 'string') return { stop_reason: 'stop_sequence', stop_sequence: stopReason };
  return reason(calls || usesTool ? 'tool_use' : 'end_turn');
}

/** Anthropic's `input_tokens` are those that were neither read from the cache nor put into it. What is not told is left out. */
export function usageOf(usage: unknown): JsonObject {
  const told = isObject(usage) ? usage : {};
  const details = told['prompt_tokens_details'];
  const read = isObject(details) ? count(details['cached_tokens']) : undefined;
  const created = isObject(details) ? count(details['created_cache_tokens']) : undefined;
  const prompt = count(told['prompt_tokens']) ?? 0;
  return {
    input_tokens: Math.max(0, prompt - (read ?? 0) - (created ?? 0)),
    output_tokens: count(told['completion_tokens']) ?? 0,
    ...(created !== undefined && { cache_creation_input_tokens: created }),
    ...(read !== undefined && { cache_read_input_tokens: read }),
  };
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;
}

/** What is known of a message before its answer. */
export interface MessageFacts {
  /** In the place of an id, where the worker says none. */
  readonly requestId: string;
  /** Likewise of the model. */
  readonly model: string;
}

const CHAT_ID = 'chatcmpl-';

export function messageId(id: unknown, { requestId }: MessageFacts): string {
  const said = typeof id === 'string' && id !== '' ? id : requestId;
  return `msg_${said.startsWith(CHAT_ID) ? said.slice(CHAT_ID.length) : said}`;
}

export function modelName(model: unknown, facts: MessageFacts): string {
  return typeof model === 'string' && model !== '' ? model : facts.model;
}

/** What a model thought, whichever of its names the worker's version has for it. */
export function reasoningOf(said: JsonObject): string {
  return stringOf(said['reasoning']) || stringOf(said['reasoning_content']);
}

/** The text of an answer, also where it is told in parts, as some models of providers do. */
export function contentText(content: unknown): string {
  if (!Array.isArray(content)) return stringOf(content);
  return (content as readonly unknown[])
    .map((part) => (isObject(part) ? stringOf(part['text']) : ''))
    .join('');
}

export function stringOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
