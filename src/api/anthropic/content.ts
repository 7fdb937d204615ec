/**
 * Content blocks of Anthropic's API as parts of a chat. It follows what vLLM's own `/v1/messages` makes of them
 * (`entrypoints/anthropic/serving.py`), so that a model is shown the same whichever of the two translates; what vLLM drops
 * without a word is refused here.
 */
import { LongText } from '../long-text.ts';
import { isObject, plain, type JsonObject } from '../prompt-sink.ts';
import type { Refuse } from './untranslatable.ts';

/** A string of a body, which may be a long one that was left where it is. */
export type Text = string | LongText;

/** A part of a message's content, as chats have them. */
export type Part = Readonly<Record<string, unknown>>;

export function isText(value: unknown): value is Text {
  return typeof value === 'string' || value instanceof LongText;
}

export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** What a block or a member calls itself; '' where it does not. */
export function typeOf(value: JsonObject): string {
  const type = plain(value['type']);
  return typeof type === 'string' ? type : '';
}

/** A block of a user's message, or of a tool's result. */
export function partsOf(block: unknown, field: string, refuse: Refuse): readonly Part[] {
  if (!isObject(block)) {
    refuse(field, 'expected a content block');
    return [];
  }
  switch (typeOf(block)) {
    case 'text':
      return textParts(block, field, refuse);
    case 'image':
      return imageParts(block, field, refuse);
    case 'document':
      return documentParts(block, field, refuse);
    case 'search_result':
      return searchParts(block, field, refuse);
    default:
      refuse(`${field}.type`, `${nameOf(block)} cannot be said in a chat`);
      return [block];
  }
}

/** For errors: a type is the client's text, and may be any. */
export function nameOf(block: JsonObject): string {
  return JSON.stringify(typeOf(block).slice(0, 64));
}

/** One text is a string, since some templates know nothing else. */
export function contentOf(parts: readonly Part[]): unknown {
  if (parts.length === 0) return '';
  const [only] = parts;
  return parts.length === 1 && only && typeOf(only) === 'text' ? only['text'] : parts;
}

export function textParts(block: JsonObject, field: string, refuse: Refuse): readonly Part[] {
  const { text } = block;
  if (!isText(text)) {
    refuse(`${field}.text`, 'expected a string');
    return [];
  }
  return text === '' ? [] : [{ type: 'text', text }];
}

function imageParts(block: JsonObject, field: string, refuse: Refuse): readonly Part[] {
  const { source } = block;
  const from = isObject(source) ? source : {};
  const type = typeOf(from);
  const url = type === 'url' ? from['url'] : type === 'base64' ? dataUrl(from) : undefined;
  if (isText(url)) return [{ type: 'image_url', image_url: { url } }];
  const known = type === 'url' || type === 'base64';
  if (known) refuse(`${field}.source`, `expected ${type === 'url' ? 'a url' : 'media_type and data'}`);
  else refuse(`${field}.source.type`, 'an image is base64 or a url here');
  return [block];
}

function dataUrl({ media_type: type, data }: JsonObject): string | undefined {
  if (!isText(data) || !isText(type)) return undefined;
  return `data:${type.toString()};base64,${data.toString()}`;
}

/** Text is text in a chat, whatever it is called. No part of vLLM's chats takes a PDF. */
function documentParts(block: JsonObject, field: string, refuse: Refuse): readonly Part[] {
  const { source } = block;
  const from = isObject(source) ? source : {};
  const heading = [block['title'], block['context']].filter(isText).map(headingPart);
  switch (typeOf(from)) {
    case 'text':
      if (isText(from['data'])) return [...heading, { type: 'text', text: from['data'] }];
      refuse(`${field}.source.data`, 'expected a string');
      return [block];
    case 'content':
      return [...heading, ...contentParts(from['content'], `${field}.source.content`, refuse)];
    default:
      refuse(`${field}.source.type`, 'a document is text or content here: chats take no PDF');
      return [block];
  }
}

function searchParts(block: JsonObject, field: string, refuse: Refuse): readonly Part[] {
  const heading = [block['title'], block['source']].filter(isText).map(headingPart);
  return [...heading, ...contentParts(block['content'], `${field}.content`, refuse)];
}

function headingPart(text: Text): Part {
  return { type: 'text', text: `${text.toString()}\n` };
}

/** A string, or blocks. */
export function contentParts(content: unknown, field: string, refuse: Refuse): readonly Part[] {
  if (isText(content)) return content === '' ? [] : [{ type: 'text', text: content }];
  if (Array.isArray(content))
    return (content as unknown[]).flatMap((block, index) => partsOf(block, `${field}.${index}`, refuse));
  if (isGiven(content)) refuse(field, 'expected a string or a list of content blocks');
  return [];
}
