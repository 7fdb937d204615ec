import { LongIds } from '../api/long-ids.ts';
import { isObject, plain, type JsonObject } from '../api/prompt-sink.ts';
import { LongText } from '../api/long-text.ts';

/** The API in which a prompt is asked for, as far as its tokens can be known. */
export type TokenRoute = 'chat' | 'completion' | 'messages' | 'responses' | 'generate';

/** Why the tokens of a prompt are estimated where nothing is asked for them. */
export type Unasked =
  /** Images, sound, embeddings, files: their tokens are known to the worker's processor alone. */
  | 'multimodal'
  | 'several_prompts'
  /** It continues what a worker has stored. */
  | 'stored'
  /** Tools that the worker runs itself bring their own instructions. */
  | 'built_in_tools'
  /** It brings a template of its own, which is not trusted. */
  | 'chat_template'
  | 'too_long'
  /** There is nothing that could be tokenised. */
  | 'no_prompt';

export type TokenPrompt =
  /** The request brings them. */
  | { readonly kind: 'ids'; readonly ids: Uint32Array }
  /**
   * They can be worked out. `renderOnly`: by the worker's render route alone, since the text depends on more than the chat, the
   * tools and the template.
   */
  | { readonly kind: 'text'; readonly renderOnly: boolean }
  | { readonly kind: 'unasked'; readonly why: Unasked };

export interface TokenPromptOptions {
  /** Whether templates of requests are used. */
  readonly trustChatTemplates: boolean;
}

const TEXT: TokenPrompt = { kind: 'text', renderOnly: false };
const RENDER_ONLY: TokenPrompt = { kind: 'text', renderOnly: true };

/** How the tokens of a prompt can be known. `body` is what the request says, its long texts apart. */
export function readTokenPrompt(
  route: TokenRoute,
  body: JsonObject,
  options: TokenPromptOptions,
): TokenPrompt {
  return READERS[route](body, options);
}

const READERS: Readonly<Record<TokenRoute, (body: JsonObject, options: TokenPromptOptions) => TokenPrompt>> =
  {
    chat: readChat,
    completion: readCompletion,
    messages: readMessages,
    responses: readResponses,
    generate: readGenerate,
  };

function unasked(why: Unasked): TokenPrompt {
  return { kind: 'unasked', why };
}

/** Parts of a message that are text to vLLM (`TEXT_PART_TYPES`), in any of the APIs. */
const TEXT_PARTS: ReadonlySet<unknown> = new Set([
  ...['text', 'input_text', 'output_text', 'refusal', 'thinking'],
  // Of Anthropic's API: these become text, calls or nothing.
  ...['redacted_thinking', 'tool_use'],
]);
/** What makes a part another one, whatever its type says. */
const MEDIA = [
  ...['image_url', 'image_pil', 'image_embeds', 'audio_url', 'audio_embeds', 'input_audio', 'video_url'],
  ...['video_embeds', 'prompt_embeds', 'source', 'file', 'file_id', 'file_data', 'file_url'],
] as const;

/** Whether the request has a chat template of its own in it, in either of the places that vLLM looks at. */
export function bringsTemplate({ chat_template: own, chat_template_kwargs: kwargs }: JsonObject): boolean {
  return isGiven(own) || (isObject(kwargs) && isGiven(kwargs['chat_template']));
}

function readChat(body: JsonObject, { trustChatTemplates }: TokenPromptOptions): TokenPrompt {
  const { messages } = body;
  if (!Array.isArray(messages) || messages.length === 0) return unasked('no_prompt');
  if (bringsTemplate(body) && !trustChatTemplates) return unasked('chat_template');
  if (!messages.every(hasTextOnly)) return unasked('multimodal');
  return saysMore(body) || choosesNoTool(body) ? RENDER_ONLY : TEXT;
}

/** How many tokens are left of it, and media of the request itself, are the worker's to say. */
function saysMore(body: JsonObject): boolean {
  return isGiven(body['truncate_prompt_tokens']) || isGiven(body['mm_processor_kwargs']);
}

/** Whether tools are shown then depends on how the server was started (`--exclude-tools-when-tool-choice-none`). */
function choosesNoTool(body: JsonObject): boolean {
  return isGiven(body['tools']) && plain(body['tool_choice']) === 'none';
}

function readCompletion(body: JsonObject): TokenPrompt {
  const { prompt } = body;
  if (isGiven(body['prompt_embeds'])) return unasked('multimodal');
  const truncated = isGiven(body['truncate_prompt_tokens']);
  const only = Array.isArray(prompt) && prompt.length === 1 ? (prompt[0] as unknown) : undefined;
  const ids = idsOf(prompt) ?? idsOf(only);
  if (ids) return truncated ? RENDER_ONLY : { kind: 'ids', ids };
  if (isText(prompt)) return truncated || isGiven(body['suffix']) ? RENDER_ONLY : TEXT;
  if (isText(only)) return RENDER_ONLY;
  return unasked(Array.isArray(prompt) && prompt.length > 1 ? 'several_prompts' : 'no_prompt');
}

/** Anthropic's: vLLM makes a chat of it in its own way. */
function readMessages({ messages, system }: JsonObject): TokenPrompt {
  if (!Array.isArray(messages) || messages.length === 0) return unasked('no_prompt');
  return isTextContent(system) && messages.every(hasTextOnly) ? RENDER_ONLY : unasked('multimodal');
}

function readResponses(body: JsonObject): TokenPrompt {
  const { input, tools } = body;
  if (isGiven(body['previous_response_id']) || isGiven(body['conversation']) || isGiven(body['prompt']))
    return unasked('stored');
  if (Array.isArray(tools) && !tools.every(isFunction)) return unasked('built_in_tools');
  if (isText(input)) return RENDER_ONLY;
  if (!Array.isArray(input) || input.length === 0) return unasked('no_prompt');
  return input.every(hasTextOnly) ? RENDER_ONLY : unasked('multimodal');
}

function readGenerate(body: JsonObject): TokenPrompt {
  if (isGiven(body['features'])) return unasked('multimodal');
  const ids = idsOf(body['token_ids']);
  return ids ? { kind: 'ids', ids } : unasked('no_prompt');
}

function isFunction(tool: unknown): boolean {
  return isObject(tool) && plain(tool['type']) === 'function';
}

function hasTextOnly(message: unknown): boolean {
  if (!isObject(message)) return false;
  return isTextContent(message['content']) && isTextContent(message['output']);
}

function isTextContent(content: unknown): boolean {
  if (!isGiven(content) || isText(content)) return true;
  return Array.isArray(content) && content.every(isTextPart);
}

function isTextPart(part: unknown): boolean {
  if (isText(part)) return true;
  if (!isObject(part)) return false;
  const type = plain(part['type']);
  if (type === 'tool_result') return isTextContent(part['content']);
  return TEXT_PARTS.has(type) && !MEDIA.some((key) => key in part);
}

function isText(value: unknown): boolean {
  return typeof value === 'string' || value instanceof LongText;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

const HIGHEST_ID = 2 ** 32 - 1;

/** Undefined for what is no list of token ids. */
function idsOf(value: unknown): Uint32Array | undefined {
  if (value instanceof LongIds) return new Uint32Array(value.ids);
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const ids = new Uint32Array(value.length);
  for (const [at, id] of (value as unknown[]).entries()) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > HIGHEST_ID) return undefined;
    ids[at] = id;
  }
  return ids;
}
