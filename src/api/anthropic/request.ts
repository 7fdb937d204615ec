import { isObject, plain, type JsonObject } from '../prompt-sink.ts';
import { readBoolean, readInteger } from '../python-json.ts';
import { isGiven, isText, typeOf } from './content.ts';
import { chatMessages } from './messages.ts';
import { chatTools, toolChoice } from './tools.ts';
import { strictly, type Refuse } from './untranslatable.ts';

/** What becomes of them is said below. Every other member is passed on: vLLM's own extensions, and what both APIs call the same. */
const TRANSLATED: ReadonlySet<string> = new Set([
  ...['system', 'messages', 'max_tokens', 'stream', 'stop_sequences', 'metadata', 'tools', 'tool_choice'],
  ...['thinking', 'output_config', 'output_format', 'chat_template_kwargs', 'stream_options'],
]);

/** About Anthropic's own service, not about the answer. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...['cache_control', 'service_tier', 'inference_geo', 'speed', 'betas', 'context_management', 'fallbacks'],
]);

/** Work of Anthropic's own service. */
const OF_THE_SERVICE = ['mcp_servers', 'container'] as const;

/** The members of a chat in which the prompt is. */
export function chatPromptOf(body: JsonObject, refuse: Refuse): JsonObject {
  const tools = chatTools(body['tools'], refuse);
  return {
    messages: chatMessages(body['system'], body['messages'], refuse),
    ...(tools && { tools }),
  };
}

/**
 * The chat that a request of the Messages API comes to, as vLLM takes it or, `for: 'anybody'`, without what only vLLM knows and the client has
 * not said itself. Throws `Untranslatable`.
 */
export function chatRequest(body: JsonObject, { for: whom }: Pick<Wanted, 'for'> = FOR_VLLM): JsonObject {
  const maxTokens = readInteger(plain(body['max_tokens']));
  if (!isGiven(body['max_tokens'])) strictly('max_tokens', 'the field is required');
  if (maxTokens === undefined || !Number.isInteger(maxTokens) || maxTokens < 1)
    strictly('max_tokens', 'expected a whole number of at least 1');
  if ((readInteger(plain(body['n'])) ?? 1) > 1) strictly('n', 'a message is one answer');
  const prompt = whom === 'vllm' ? translatedPrompt(body) : plainPrompt(body);
  return {
    ...passedOn(body),
    ...prompt,
    max_tokens: maxTokens,
    ...streamed(body['stream'], whom),
    ...stops(body['stop_sequences']),
    ...user(body['metadata']),
    ...toolChoice(body['tool_choice'], 'tools' in prompt, strictly),
    ...(whom === 'vllm' && budget(body['thinking'])),
    ...output(body),
  };
}

/** What `/tokenize` is asked to count the tokens of a request. Throws `Untranslatable`. */
export function tokenizeRequest(body: JsonObject): JsonObject {
  return { model: body['model'], ...translatedPrompt(body) };
}

/** Who is to take it. */
interface Wanted {
  readonly for: 'vllm' | 'anybody';
}

const FOR_VLLM: Wanted = { for: 'vllm' };

/** The members of a chat that its template is given. */
function translatedPrompt(body: JsonObject): JsonObject {
  const prompt = strictPrompt(body);
  return { ...prompt, ...templateArguments(body), ...continued(prompt['messages']) };
}

/** Thoughts have no place in OpenAI's own chats, nor is there a template. */
function plainPrompt(body: JsonObject): JsonObject {
  const { messages, ...rest } = strictPrompt(body);
  thinkingOf(body['thinking']);
  const { chat_template_kwargs: own } = body;
  return {
    messages: Array.isArray(messages) ? messages.map(withoutThoughts) : messages,
    ...rest,
    ...(isGiven(own) && { chat_template_kwargs: own }),
  };
}

function withoutThoughts(message: unknown): unknown {
  if (!isObject(message)) return message;
  const { reasoning: _, ...rest } = message;
  return 'content' in rest || 'tool_calls' in rest ? rest : { ...rest, content: '' };
}

function strictPrompt(body: JsonObject): JsonObject {
  for (const name of OF_THE_SERVICE) {
    const value = body[name];
    if (isGiven(value) && !(Array.isArray(value) && value.length === 0))
      strictly(name, "only Anthropic's own service has this");
  }
  return chatPromptOf(body, strictly);
}

function passedOn(body: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(body).filter(
      ([name, value]) =>
        value !== null &&
        !TRANSLATED.has(name) &&
        !LEFT_OUT.has(name) &&
        !OF_THE_SERVICE.some((one) => one === name),
    ),
  );
}

/** What a stream took is told in every event, as vLLM's own Messages API asks for: the first one has to say how long the prompt is. */
function streamed(stream: unknown, whom: Wanted['for']): JsonObject {
  if (!isGiven(stream)) return {};
  if (readBoolean(plain(stream)) !== true) return { stream };
  const each = whom === 'vllm' && { continuous_usage_stats: true };
  return { stream: true, stream_options: { include_usage: true, ...each } };
}

function stops(sequences: unknown): JsonObject {
  if (!isGiven(sequences)) return {};
  if (!Array.isArray(sequences)) strictly('stop_sequences', 'expected a list of strings');
  const list: readonly unknown[] = Array.isArray(sequences) ? sequences : [];
  for (const [index, one] of list.entries())
    if (!isText(one)) strictly(`stop_sequences.${index}`, 'expected a string');
  return list.length === 0 ? {} : { stop: list };
}

function user(metadata: unknown): JsonObject {
  if (!isGiven(metadata)) return {};
  if (!isObject(metadata)) strictly('metadata', 'expected an object');
  const id = isObject(metadata) ? metadata['user_id'] : undefined;
  return isGiven(id) ? { user: id } : {};
}

/**
 * Templates of models that can think, or not, go by `enable_thinking` (Qwen, GLM) or `thinking` (DeepSeek), and others by neither: vLLM
 * gives a template what it asks for.
 */
function templateArguments(body: JsonObject): JsonObject {
  const { thinking, chat_template_kwargs: own } = body;
  if (isGiven(own) && !isObject(own)) strictly('chat_template_kwargs', 'expected an object');
  const thinks = thinkingOf(thinking);
  const all = {
    ...(thinks !== undefined && { enable_thinking: thinks, thinking: thinks }),
    ...(isObject(own) && own),
  };
  return Object.keys(all).length === 0 ? {} : { chat_template_kwargs: all };
}

/** Undefined where it is left to the model. */
function thinkingOf(thinking: unknown): boolean | undefined {
  if (!isGiven(thinking)) return undefined;
  if (!isObject(thinking)) strictly('thinking', 'expected an object');
  const type = isObject(thinking) ? typeOf(thinking) : '';
  if (type === 'enabled') return true;
  if (type === 'disabled') return false;
  if (type !== 'adaptive') strictly('thinking.type', 'expected enabled, disabled or adaptive');
  return undefined;
}

function budget(thinking: unknown): JsonObject {
  if (!isObject(thinking) || typeOf(thinking) !== 'enabled') return {};
  const tokens = readInteger(plain(thinking['budget_tokens']));
  if (tokens === undefined) strictly('thinking.budget_tokens', 'expected a whole number');
  return { thinking_token_budget: tokens };
}

/** How hard the model tries, and the schema that its answer has to fit. */
function output({ output_config: config, output_format: older }: JsonObject): JsonObject {
  if (isGiven(config) && !isObject(config)) strictly('output_config', 'expected an object');
  const { effort, format } = isObject(config) ? config : {};
  return {
    ...(isGiven(effort) && { reasoning_effort: effort }),
    ...schema(format, 'output_config.format'),
    ...(!isGiven(format) && schema(older, 'output_format')),
  };
}

function schema(format: unknown, field: string): JsonObject {
  if (!isGiven(format)) return {};
  if (!isObject(format) || typeOf(format) !== 'json_schema')
    strictly(`${field}.type`, 'expected json_schema');
  const wanted = isObject(format) ? format['schema'] : undefined;
  if (!isObject(wanted)) strictly(`${field}.schema`, 'expected a JSON schema');
  return { response_format: { type: 'json_schema', json_schema: { name: 'json_schema', schema: wanted } } };
}

/** A message of the assistant's at the end is the beginning of its answer. */
function continued(messages: unknown): JsonObject {
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  if (!isObject(last) || last['role'] !== 'assistant' || isGiven(last['tool_calls'])) return {};
  return { add_generation_prompt: false, continue_final_message: true };
}
