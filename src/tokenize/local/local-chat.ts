import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { templateArguments } from '../template-arguments.ts';
import { NotAlike, parseExactly } from './exact-json.ts';

/** How vLLM hands content to a template: as one text, or as a list of parts. It goes by what the template does with it. */
export type ContentFormat = 'string' | 'openai';

/** What may be in a chat beside text of users and assistants; each is used only where it was seen to come out as a worker has it. */
export const CHAT_FEATURES = ['tools', 'parts', 'developer', 'continue'] as const;
export type ChatFeature = (typeof CHAT_FEATURES)[number];

/** A chat as vLLM gives it to its template. */
export interface LocalChat {
  readonly messages: readonly JsonObject[];
  /** Null: none were given. */
  readonly tools: readonly JsonObject[] | null;
  readonly addGenerationPrompt: boolean;
  readonly continueFinalMessage: boolean;
  /** Whatever else the template is given, `documents` among it. */
  readonly more: JsonObject;
  readonly features: ReadonlySet<ChatFeature>;
}

export interface ChatOptions {
  readonly format: ContentFormat;
  /** Whether the template has that role; else vLLM has it speak as the system. */
  readonly knowsDeveloper: boolean;
}

/**
 * Does with a chat request what vLLM does before its template sees it (`parse_chat_messages` and `ChatCompletionToolsParam` of 0.32).
 * Throws `NotAlike` for what it might do otherwise.
 */
export function readLocalChat(request: JsonObject, { format, knowsDeveloper }: ChatOptions): LocalChat {
  const features = new Set<ChatFeature>();
  const read = listOf(request['messages']).map((message) => readMessage(message, format, features));
  const tools = request['tools'];
  const continueFinalMessage = flagOf(request['continue_final_message'], false);
  const addGenerationPrompt = flagOf(request['add_generation_prompt'], true);
  if (continueFinalMessage && addGenerationPrompt) throw new NotAlike('both ways to go on');
  if (flagOf(request['add_special_tokens'], false)) throw new NotAlike('special tokens around a chat');
  if (continueFinalMessage) features.add('continue');
  if (isGiven(tools)) features.add('tools');
  const hasDeveloper = read.some(({ role }) => role === 'developer');
  if (hasDeveloper) features.add('developer');
  return {
    messages: hasDeveloper && !knowsDeveloper ? asSystem(read) : read,
    tools: isGiven(tools) ? listOf(tools).map(readTool) : null,
    addGenerationPrompt,
    continueFinalMessage,
    more: templateArguments(request),
    features,
  };
}

interface Message extends JsonObject {
  readonly role: string;
  readonly content: string | readonly JsonObject[];
}

function readMessage(message: unknown, format: ContentFormat, features: Set<ChatFeature>): Message {
  if (!isObject(message) || typeof message['role'] !== 'string')
    throw new NotAlike('a message without a role');
  const { role, name, tool_calls: calls, tool_call_id: callId } = message;
  if (role === 'tool' || isGiven(calls)) features.add('tools');
  const content = readContent(message['content'], { role, format, features });
  const reasoning = message['reasoning'] ?? message['reasoning_content'];
  const made = role === 'assistant' && isGiven(calls) ? listOf(calls).map(readCall) : [];
  return {
    role,
    content: role === 'tool' && typeof content !== 'string' ? content.map(textOfPart).join('\n') : content,
    ...(made.length > 0 && { tool_calls: made }),
    ...(role === 'assistant' && isGiven(reasoning) && { reasoning, reasoning_content: reasoning }),
    ...(role === 'tool' && callId !== undefined && { tool_call_id: callId }),
    ...(typeof name === 'string' && { name }),
  };
}

interface ContentContext {
  readonly role: string;
  readonly format: ContentFormat;
  readonly features: Set<ChatFeature>;
}

function readContent(content: unknown, { role, format, features }: ContentContext): Message['content'] {
  const parts = typeof content === 'string' ? [content] : isGiven(content) ? listOf(content) : [];
  if (Array.isArray(content)) features.add('parts');
  const texts = parts.flatMap((part) => textOf(part, format));
  const kept = role === 'system' ? texts.flatMap(withoutBillingHeader) : texts;
  // What is empty is no part of a text, but is one of a list.
  if (format === 'string') return kept.filter((text) => text !== '').join('\n');
  return kept.map((text) => ({ type: 'text', text }));
}

/** The member that has the text, by the type of a part. */
const TEXT_OF: Readonly<Record<string, string>> = {
  ...{ text: 'text', input_text: 'text', output_text: 'text', refusal: 'refusal', thinking: 'thinking' },
};

function textOf(part: unknown, format: ContentFormat): string | readonly string[] {
  if (typeof part === 'string') return part;
  if (!isObject(part)) throw new NotAlike('a part that is none');
  const member = TEXT_OF[String(part['type'])];
  // What it has beside is handed to templates that look at parts.
  const others = Object.keys(part).length - 2;
  if (member === undefined || (format === 'openai' && others > 0))
    throw new NotAlike('a part of another kind');
  const text = part[member];
  if (text === null || text === undefined) return [];
  if (typeof text !== 'string') throw new NotAlike('a text that is none');
  return text;
}

function textOfPart({ text }: JsonObject): string {
  return typeof text === 'string' ? text : '';
}

/** Changes with every request of one client, so that vLLM takes it out. */
const BILLING_HEADER = 'x-anthropic-billing-header';

function withoutBillingHeader(text: string): readonly string[] {
  if (!text.startsWith(BILLING_HEADER)) return [text];
  const end = text.indexOf('\n');
  const rest = end < 0 ? '' : text.slice(end + 1);
  return rest === '' ? [] : [rest];
}

/** Its members in the order in which pydantic has them. */
function readCall(call: unknown): JsonObject {
  const made = isObject(call) ? call['function'] : undefined;
  if (!isObject(call) || !isObject(made) || !hasOnly(call, CALL) || !hasOnly(made, ['name', 'arguments']))
    throw new NotAlike('a call of another kind');
  const { id, type = 'function' } = call;
  if (type !== 'function') throw new NotAlike('a call of another kind');
  const asked = { arguments: argumentsOf(made['arguments']), name: made['name'] };
  return { ...(id !== undefined && { id }), function: asked, type };
}

const CALL = ['id', 'type', 'function', 'index'];

/** Templates want an object; what is none becomes an empty one. */
function argumentsOf(value: unknown): JsonObject {
  if (isObject(value)) return value;
  if (typeof value !== 'string' || value === '') return {};
  try {
    const parsed = parseExactly(value);
    return isObject(parsed) ? parsed : {};
  } catch (error) {
    if (error instanceof NotAlike) throw error;
    return {};
  }
}

/** As vLLM's model of a tool dumps it: known members in their order, what is not given as null. */
function readTool(tool: unknown): JsonObject {
  const made = isObject(tool) ? tool['function'] : undefined;
  if (!isObject(tool) || !isObject(made) || typeof made['name'] !== 'string')
    throw new NotAlike('a tool of another kind');
  const { name, description = null, parameters = null, strict } = made;
  if (isGiven(tool['defer_loading']) || isGiven(made['defer_loading']))
    throw new NotAlike('a tool for later');
  return {
    type: 'function',
    function: { name, description, parameters, ...(isGiven(strict) && { strict }) },
  };
}

/** A developer speaks as the system, which then speaks first and once. */
function asSystem(messages: readonly Message[]): readonly Message[] {
  const renamed = messages.map((message) =>
    message.role === 'developer' ? { ...message, role: 'system' } : message,
  );
  const system = renamed.filter(({ role }) => role === 'system');
  if (system.length === 1 && renamed[0]?.role === 'system') return renamed;
  const texts = system.map(({ content }) =>
    typeof content === 'string' ? content : content.map(textOfPart).join('\n'),
  );
  const content = texts.filter((text) => text !== '').join('\n\n');
  return [{ role: 'system', content }, ...renamed.filter(({ role }) => role !== 'system')];
}

function hasOnly(value: JsonObject, keys: readonly string[]): boolean {
  return Object.keys(value).every((key) => keys.includes(key));
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new NotAlike('a list that is none');
  return value;
}

function flagOf(value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== 'boolean') throw new NotAlike('a flag that is none');
  return value;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
