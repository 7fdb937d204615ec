import { parseExactly } from '../exact-numbers.ts';
import { isObject, type JsonObject } from '../prompt-sink.ts';
import {
  contentText,
  messageId,
  modelName,
  reasoningOf,
  stopOf,
  stringOf,
  usageOf,
  type MessageFacts,
} from './ending.ts';

/** The message that a chat's answer comes to; undefined where it is no chat's answer. */
export function messageJson(body: string, facts: MessageFacts): string | undefined {
  const chat = parsed(body);
  const choices = isObject(chat) ? chat['choices'] : undefined;
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  if (!isObject(chat) || !isObject(choice) || !isObject(choice['message'])) return undefined;
  const id = messageId(chat['id'], facts);
  const calls = toolUses(choice['message'], id);
  const content = [...said(choice['message'], id), ...calls];
  return JSON.stringify({
    id,
    type: 'message',
    role: 'assistant',
    model: modelName(chat['model'], facts),
    content: content.length > 0 ? content : [{ type: 'text', text: '' }],
    ...stopOf({
      finishReason: choice['finish_reason'],
      stopReason: choice['stop_reason'],
      usesTool: calls.length > 0,
      isToolWhole: isWhole(choice['message']),
    }),
    usage: usageOf(chat['usage']),
  });
}

/** What `/tokenize` has counted; undefined where it is no count. */
export function countJson(body: string): string | undefined {
  const answer = parsed(body);
  const count = isObject(answer) ? answer['count'] : undefined;
  if (!Number.isSafeInteger(count) || Number(count) < 0) return undefined;
  return JSON.stringify({ input_tokens: count });
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function said(message: JsonObject, id: string): object[] {
  const thinking = reasoningOf(message);
  const text = contentText(message['content']);
  return [
    // Clients that send thoughts back want them signed; by whom nobody here asks.
    ...(thinking === '' ? [] : [{ type: 'thinking', thinking, signature: id }]),
    ...(text === '' ? [] : [{ type: 'text', text }]),
  ];
}

function callsOf({ tool_calls: calls }: JsonObject): readonly JsonObject[] {
  return Array.isArray(calls) ? (calls as readonly unknown[]).filter(isObject) : [];
}

function toolUses(message: JsonObject, id: string): object[] {
  return callsOf(message).map((call, index) => {
    const { name, arguments: said } = functionOf(call);
    return {
      type: 'tool_use',
      id: stringOf(call['id']) || toolId(id, index),
      name: stringOf(name),
      input: inputOf(stringOf(said)) ?? {},
    };
  });
}

function functionOf({ function: called }: JsonObject): JsonObject {
  return isObject(called) ? called : {};
}

/** For a worker that gives none. */
export function toolId(messageId: string, index: number): string {
  return `toolu_${messageId.slice('msg_'.length)}_${index}`;
}

/** The input of a tool; undefined where it is no object, cut off for one. */
export function inputOf(json: string): unknown {
  try {
    const input = parseExactly(json);
    return isObject(input) ? input : undefined;
  } catch {
    return undefined;
  }
}

function isWhole(message: JsonObject): boolean {
  const last = callsOf(message).at(-1);
  return last !== undefined && inputOf(stringOf(functionOf(last)['arguments'])) !== undefined;
}
