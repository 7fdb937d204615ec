/** Messages of Anthropic's API as those of a chat. */
import { isObject, plain, type JsonObject } from '../prompt-sink.ts';
import {
  contentOf,
  contentParts,
  isGiven,
  isText,
  nameOf,
  partsOf,
  textParts,
  typeOf,
  type Part,
  type Text,
} from './content.ts';
import type { Refuse } from './untranslatable.ts';

type ChatMessage = Readonly<Record<string, unknown>>;

/** With the system prompt in front. */
export function chatMessages(system: unknown, messages: unknown, refuse: Refuse): ChatMessage[] {
  const said = systemText(system, 'system', refuse);
  const chat: ChatMessage[] = said === undefined ? [] : [{ role: 'system', content: said }];
  if (!Array.isArray(messages)) {
    refuse('messages', 'expected a list of messages');
    return chat;
  }
  if (messages.length === 0) refuse('messages', 'expected at least one message');
  for (const [index, message] of (messages as unknown[]).entries())
    chat.push(...chatMessage(message, `messages.${index}`, refuse));
  return chat;
}

function chatMessage(message: unknown, field: string, refuse: Refuse): readonly ChatMessage[] {
  if (!isObject(message)) {
    refuse(field, 'expected a message');
    return [];
  }
  const { content } = message;
  switch (plain(message['role'])) {
    case 'user':
      return userMessages(content, `${field}.content`, refuse);
    case 'assistant':
      return [assistantMessage(content, `${field}.content`, refuse)];
    case 'system': {
      const said = systemText(content, `${field}.content`, refuse);
      return said === undefined ? [] : [{ role: 'system', content: said }];
    }
    default:
      refuse(`${field}.role`, 'expected user or assistant');
      return [message];
  }
}

/** Another one in each request of some clients, which is for who bills them: no prefix would ever be found again. */
const BILLING = 'x-anthropic-billing-header';

/** Blocks are one text, without anything between them. Undefined where there is none. */
function systemText(system: unknown, field: string, refuse: Refuse): Text | undefined {
  if (!isGiven(system)) return undefined;
  if (isText(system)) return system === '' ? undefined : system;
  if (!Array.isArray(system)) {
    refuse(field, 'expected a string or a list of text blocks');
    return undefined;
  }
  const texts = (system as unknown[]).flatMap((block, index) => {
    const at = `${field}.${index}`;
    if (isObject(block) && typeOf(block) === 'text')
      return textParts(block, at, refuse).map(({ text }) => text as Text);
    refuse(`${at}.type`, 'a system prompt is made of text');
    return [];
  });
  const kept = texts.filter((text) => !text.toString().startsWith(BILLING));
  return kept.length > 1 ? kept.join('') : kept[0];
}

/** What tools said comes before what the user says: a chat has it in messages of their own. */
function userMessages(content: unknown, field: string, refuse: Refuse): readonly ChatMessage[] {
  if (isText(content)) return [{ role: 'user', content }];
  if (!Array.isArray(content)) {
    refuse(field, 'expected a string or a list of content blocks');
    return [];
  }
  const results: ChatMessage[] = [];
  const parts: Part[] = [];
  for (const [index, block] of (content as unknown[]).entries()) {
    const at = `${field}.${index}`;
    if (isObject(block) && typeOf(block) === 'tool_result') {
      const { message, media } = toolMessage(block, at, refuse);
      results.push(message);
      parts.push(...media);
    } else parts.push(...partsOf(block, at, refuse));
  }
  if (parts.length === 0 && results.length > 0) return results;
  return [...results, { role: 'user', content: contentOf(parts) }];
}

/** A tool says text. What else came of it the user shows. */
function toolMessage(
  block: JsonObject,
  field: string,
  refuse: Refuse,
): { readonly message: ChatMessage; readonly media: readonly Part[] } {
  const id = plain(block['tool_use_id']);
  if (typeof id !== 'string') refuse(`${field}.tool_use_id`, 'expected the id of a tool_use');
  const parts = contentParts(block['content'], `${field}.content`, refuse);
  const texts = parts.flatMap(({ text }) => (isText(text) ? [text] : []));
  const said = texts.length > 1 ? texts.join('\n') : (texts[0] ?? '');
  return {
    message: {
      role: 'tool',
      tool_call_id: id,
      // A chat has no other way to say so.
      content: plain(block['is_error']) === true ? `Error: ${said.toString()}` : said,
    },
    media: parts.filter(({ text }) => !isText(text)),
  };
}

function assistantMessage(content: unknown, field: string, refuse: Refuse): ChatMessage {
  if (isText(content)) return { role: 'assistant', content };
  const parts: Part[] = [];
  const calls: ChatMessage[] = [];
  const thoughts: Text[] = [];
  if (!Array.isArray(content)) refuse(field, 'expected a string or a list of content blocks');
  const blocks: readonly unknown[] = Array.isArray(content) ? content : [];
  for (const [index, block] of blocks.entries()) {
    const at = `${field}.${index}`;
    const kind = isObject(block) ? typeOf(block) : '';
    if (!isObject(block)) refuse(at, 'expected a content block');
    else if (kind === 'text') parts.push(...textParts(block, at, refuse));
    else if (kind === 'thinking') thoughts.push(...thought(block, at, refuse));
    else if (kind === 'tool_use') calls.push(toolCall(block, at, refuse));
    // Nobody but who wrote it can read it.
    else if (kind !== 'redacted_thinking') {
      refuse(`${at}.type`, `${nameOf(block)} of an assistant cannot be said in a chat`);
      parts.push(block);
    }
  }
  const isSilent = parts.length === 0 && calls.length + thoughts.length > 0;
  return {
    role: 'assistant',
    ...(thoughts.length > 0 && { reasoning: thoughts.length > 1 ? thoughts.join('') : thoughts[0] }),
    ...(!isSilent && { content: contentOf(parts) }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function thought(block: JsonObject, field: string, refuse: Refuse): readonly Text[] {
  const { thinking } = block;
  if (isText(thinking)) return [thinking];
  refuse(`${field}.thinking`, 'expected a string');
  return [];
}

function toolCall(block: JsonObject, field: string, refuse: Refuse): ChatMessage {
  const { input } = block;
  const [id, name] = [plain(block['id']), plain(block['name'])];
  if (typeof id !== 'string') refuse(`${field}.id`, 'expected a string');
  if (typeof name !== 'string') refuse(`${field}.name`, 'expected a string');
  if (isGiven(input) && !isObject(input)) refuse(`${field}.input`, 'expected an object');
  return { id, type: 'function', function: { name, arguments: JSON.stringify(input ?? {}) } };
}
