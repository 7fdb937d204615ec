import { LongText } from './long-text.ts';
import { isObject, type JsonObject } from './prompt-sink.ts';

/** What a request asks for, in its own words: the last message of a user, or the one prompt there is. */
export interface LastWords {
  readonly text: string;
  /** Where it stands among the messages; undefined where there are none. */
  readonly at?: number;
}

/** Undefined where there is no text, or more than one that could be meant. */
export function lastWords(body: JsonObject): LastWords | undefined {
  const { messages, input, prompt, text } = body;
  if (Array.isArray(messages)) return lastOfUser(messages);
  if (Array.isArray(input)) return lastOfUser(input);
  for (const given of [input, prompt, text]) if (isText(given)) return wordsOf(given.toString());
  // A list of one prompt is that prompt.
  if (Array.isArray(prompt) && prompt.length === 1 && isText(prompt[0])) return wordsOf(prompt[0].toString());
  return undefined;
}

/** Contents of all messages, a line each. */
export function allWords(messages: readonly unknown[]): string {
  return messages.map((message) => (isObject(message) ? contentText(message['content']) : '')).join('\n');
}

function lastOfUser(messages: readonly unknown[]): LastWords | undefined {
  for (let at = messages.length - 1; at >= 0; at--) {
    const message = messages[at];
    if (!isObject(message) || message['role'] !== 'user') continue;
    const text = contentText(message['content']);
    // Results of tools come as messages of the user, too, where Anthropic's API is spoken.
    if (text.trim() !== '') return { text, at };
  }
  return undefined;
}

/** Its text parts, a space between them. */
function contentText(content: unknown): string {
  if (isText(content)) return content.toString();
  if (!Array.isArray(content)) return '';
  return (content as readonly unknown[])
    .flatMap((part) => {
      const text = isObject(part) ? part['text'] : part;
      return isText(text) ? [text.toString()] : [];
    })
    .join(' ');
}

function wordsOf(text: string): LastWords | undefined {
  return text.trim() === '' ? undefined : { text };
}

function isText(value: unknown): value is string | LongText {
  return typeof value === 'string' || value instanceof LongText;
}
