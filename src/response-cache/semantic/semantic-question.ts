import { allWords, lastWords } from '../../api/last-words.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { partitionOf, type AnswerQuestion } from '../answer-key.ts';

/** Two questions have one answer where their partitions are the same and their texts mean the same. */
export interface SemanticQuestion {
  readonly partition: string;
  readonly text: string;
}

/** What is compared by its meaning: the last message of the user, or all messages. */
export type Compared = 'last_message' | 'all_messages';

/** The text by which a request is compared; undefined where it has none. */
export function comparedText(values: JsonObject, compared: Compared): string | undefined {
  const { messages } = values;
  if (compared === 'all_messages' && Array.isArray(messages)) return allWords(messages);
  return lastWords(values)?.text;
}

/**
 * Undefined where a chat does not end with what its user says, or the body has no one meaning.
 * @param values What the body says.
 */
export function semanticQuestion(
  question: AnswerQuestion,
  values: JsonObject,
  compared: Compared,
): SemanticQuestion | undefined {
  const { messages, prompt } = values;
  // Nothing but what is left out of the partition may be in its place.
  const text = comparedText(Array.isArray(messages) ? { messages } : { prompt }, compared);
  if (text === undefined || text.trim() === '') return undefined;
  if (!Array.isArray(messages)) return built(question, text, 'prompt');
  const list: readonly unknown[] = messages;
  if (lastWords(values)?.at !== list.length - 1) return undefined;
  const from = compared === 'all_messages' ? 0 : list.length - 1;
  const rest = list.map((message, at) => (at < from ? message : withoutText(message)));
  return built(question, text, 'messages', rest);
}

function built(
  question: AnswerQuestion,
  text: string,
  member: 'prompt' | 'messages',
  rest?: readonly unknown[],
): SemanticQuestion | undefined {
  const partition = partitionOf(question, member, Buffer.from(JSON.stringify({ rest })));
  return partition === undefined ? undefined : { partition, text };
}

/** Whatever else is in it, pictures for instance, has to be equal. */
function withoutText(message: unknown): unknown {
  if (!isObject(message)) return message;
  const { content, ...rest } = message;
  if (!Array.isArray(content)) return rest;
  return { ...rest, parts: (content as readonly unknown[]).filter((part) => !isText(part)) };
}

function isText(part: unknown): boolean {
  return isObject(part) && part['type'] === 'text' && part['text'] !== undefined;
}
