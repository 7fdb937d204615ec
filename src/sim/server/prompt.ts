import { badRequest } from './api-error.ts';
import { isFields, tokenIds, type Fields } from './fields.ts';
import { roleToken, SPECIAL, textHash, type TokenBuffer } from '../engine/tokens.ts';

const MEDIA_TOKENS = 64;

/** Writes a chat as tokens: `<role> text <end>` for each message, and the assistant's role to go on from. */
export function chatPrompt(buffer: TokenBuffer, messages: readonly unknown[], body: Fields): void {
  const tools = body['tools'];
  if (Array.isArray(tools) && tools.length > 0) {
    buffer.special(SPECIAL.tool);
    buffer.text(JSON.stringify(tools));
    buffer.special(SPECIAL.end);
  }
  for (const [index, message] of messages.entries()) {
    const role = isFields(message) ? message['role'] : undefined;
    if (!isFields(message) || typeof role !== 'string') {
      throw badRequest(`messages[${index}]: expected an object with a role`, 'messages');
    }
    buffer.special(roleToken(role));
    contentTokens(buffer, message['content'], `messages[${index}].content`);
    const calls = message['tool_calls'];
    if (Array.isArray(calls)) buffer.text(JSON.stringify(calls));
    buffer.special(SPECIAL.end);
  }
  if (body['add_generation_prompt'] !== false) buffer.special(SPECIAL.assistant);
}

/** Text, or parts of it, images and sounds included (each stands for a fixed number of tokens). */
export function contentTokens(buffer: TokenBuffer, content: unknown, name: string): void {
  if (typeof content === 'string') {
    buffer.text(content);
    return;
  }
  if (content === undefined || content === null) return;
  if (!Array.isArray(content)) throw badRequest(`${name}: expected a string or a list of parts`, name);
  for (const part of content) {
    if (!isFields(part)) throw badRequest(`${name}: expected parts to be objects`, name);
    const text = part['text'] ?? part['content'];
    if (typeof text === 'string') buffer.text(text);
    else mediaTokens(buffer, part);
  }
}

function mediaTokens(buffer: TokenBuffer, part: Fields): void {
  const id = textHash(JSON.stringify(part)) & 0xfffffff;
  buffer.append([SPECIAL.media, ...new Array<number>(MEDIA_TOKENS - 1).fill(id)]);
}

/** The prompts of a completion or an embedding: text, list of texts, token ids, list of token ids. */
export function promptList(value: unknown, name: string): readonly (string | readonly number[])[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value) || value.length === 0) {
    throw badRequest(`${name}: expected a string, a list of strings or a list of token ids`, name);
  }
  if (typeof value[0] === 'number') return [tokenIds(value, name)];
  return value.map((item: unknown) => (typeof item === 'string' ? item : tokenIds(item, name)));
}

export function appendPrompt(buffer: TokenBuffer, prompt: string | readonly number[]): void {
  if (typeof prompt === 'string') buffer.text(prompt);
  else buffer.append(prompt);
}

/** What the user said last, for answers that echo. */
export function lastUserText(messages: readonly unknown[]): string {
  for (let i = messages.length - 1; i >= 0; i--) {
    const message = messages[i];
    if (isFields(message) && message['role'] === 'user') return contentText(message['content']);
  }
  return '';
}

export function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part: unknown) => (isFields(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('');
}
