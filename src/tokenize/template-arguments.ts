import { isObject, type JsonObject } from '../api/prompt-sink.ts';

/** What a chat request gives its template beside messages and tools, as vLLM's `build_chat_params` has it. */
export function templateArguments(chat: JsonObject): JsonObject {
  const { documents, reasoning_effort: effort, chat_template_kwargs: given } = chat;
  const own = isObject(given) ? given : {};
  return {
    ...own,
    ...(isGiven(documents) && { documents }),
    ...(isGiven(effort) && { reasoning_effort: effort }),
    ...(isGiven(effort) && !Object.hasOwn(own, 'enable_thinking') && { enable_thinking: effort !== 'none' }),
  };
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
