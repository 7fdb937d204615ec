import { chatPromptOf } from './anthropic/request.ts';
import { leniently } from './anthropic/untranslatable.ts';
import { LongIds } from './long-ids.ts';
import { jsonInto, LongText } from './long-text.ts';
import { isObject, plain, type JsonObject, type PromptSink } from './prompt-sink.ts';

/** Reads the prompt of one request body, in the order in which a chat template would render it. */
export type PromptReader = (body: JsonObject, sink: PromptSink) => void;

/** OpenAI chat completions. Tools come first because templates render them into the system part. */
export const chatPrompt: PromptReader = (body, sink) => {
  readTools(body['tools'], sink);
  readMessages(body['messages'], sink);
};

/** vLLM's batches of chats: one conversation after the other. */
export const batchPrompt: PromptReader = (body, sink) => {
  readTools(body['tools'], sink);
  const { messages } = body;
  if (Array.isArray(messages))
    for (const conversation of messages as unknown[]) readMessages(conversation, sink);
};

/** OpenAI completions: a string, strings, token ids, or lists of token ids. */
export const completionPrompt: PromptReader = (body, sink) => {
  readInput(body['prompt'], sink);
};

/** Embeddings, pooling, classify: `input`, or `messages` where vLLM takes a chat. */
export const inputPrompt: PromptReader = (body, sink) => {
  readInput(body['input'], sink);
  readMessages(body['messages'], sink);
};

/** Cohere's embeddings. */
export const embedPrompt: PromptReader = (body, sink) => {
  for (const field of ['texts', 'inputs', 'images']) readInput(body[field], sink);
};

/** SageMaker's one route for every API: whatever the body is made for. */
export const invocationPrompt: PromptReader = (body, sink) => {
  chatPrompt(body, sink);
  completionPrompt(body, sink);
  readInput(body['input'], sink);
  pairPrompt(body, sink);
};

/** Rerank and score: the query before the documents. */
export const pairPrompt: PromptReader = (body, sink) => {
  for (const field of ['query', 'text_1', 'queries', 'documents', 'text_2', 'items'])
    readInput(body[field], sink);
};

/** OpenAI responses: instructions, then the input items. */
export const responsesPrompt: PromptReader = (body, sink) => {
  readTools(body['tools'], sink);
  const { instructions, input } = body;
  if (isText(instructions)) {
    sink.role('system');
    readText(instructions, sink);
  }
  if (isText(input)) {
    sink.role('user');
    readText(input, sink);
  } else {
    readMessages(input, sink);
  }
};

/** Anthropic messages: the chat that they come to, so that either finds what the other one has left in a cache. */
export const messagesPrompt: PromptReader = (body, sink) => {
  chatPrompt(chatPromptOf(body, leniently), sink);
};

/** `/generate` (`text`, `prompt` or `input_ids`) and `/inference/v1/generate` (`token_ids`). */
export const generatePrompt: PromptReader = (body, sink) => {
  for (const field of ['text', 'prompt', 'input_ids', 'token_ids']) readInput(body[field], sink);
};

/** `/tokenize`: a prompt or a chat. */
export const tokenizePrompt: PromptReader = (body, sink) => {
  readInput(body['prompt'], sink);
  readMessages(body['messages'], sink);
};

function readTools(value: unknown, sink: PromptSink): void {
  const tools = plain(value);
  if (!Array.isArray(tools) || tools.length === 0) return;
  sink.role('tools');
  jsonInto(tools, sink);
}

function readMessages(messages: unknown, sink: PromptSink): void {
  if (!Array.isArray(messages)) return;
  for (const message of messages as unknown[]) {
    if (!isObject(message)) continue;
    const role = plain(message['role'] ?? message['type']);
    sink.role(typeof role === 'string' ? role : 'item');
    readContent(message['content'], sink);
    for (const field of ['tool_calls', 'function_call', 'arguments', 'output']) {
      const value = message[field];
      if (isText(value)) readText(value, sink);
      else if (value !== undefined && value !== null) jsonInto(value, sink);
    }
  }
}

function readContent(content: unknown, sink: PromptSink): void {
  if (isText(content)) readText(content, sink);
  else if (Array.isArray(content)) for (const part of content as unknown[]) readPart(part, sink);
}

/** A content part. Images and the like count by their bytes: the same picture is the same prefix. */
function readPart(part: unknown, sink: PromptSink): void {
  if (isText(part)) readText(part, sink);
  else if (isObject(part)) {
    const { text } = part;
    if (isText(text)) readText(text, sink);
    else jsonInto(part, sink);
  }
}

function readInput(input: unknown, sink: PromptSink): void {
  if (isText(input)) {
    sink.role('prompt');
    readText(input, sink);
  } else if (Array.isArray(input)) {
    readInputList(input, sink);
  } else if (input instanceof LongIds) {
    readIds(input, sink);
  } else if (isObject(input)) {
    sink.role('prompt');
    readPart(input, sink);
  }
}

function readInputList(input: readonly unknown[], sink: PromptSink): void {
  if (readIds(input, sink)) return;
  for (const entry of input) {
    if (isText(entry) || isObject(entry)) readInput(entry, sink);
    else readIds(entry, sink);
  }
}

/** Whether it is a list of token ids. */
function readIds(value: unknown, sink: PromptSink): boolean {
  const ids = value instanceof LongIds ? value.ids : value;
  if (!(ids instanceof Int32Array) && !(Array.isArray(ids) && isTokenIds(ids))) return false;
  sink.role('prompt');
  sink.tokens(ids);
  return true;
}

function isText(value: unknown): value is string | LongText {
  return typeof value === 'string' || value instanceof LongText;
}

function readText(value: string | LongText, sink: PromptSink): void {
  if (typeof value === 'string') sink.text(value);
  else value.into(sink);
}

function isTokenIds(list: readonly unknown[]): list is readonly number[] {
  return list.length > 0 && list.every((entry) => typeof entry === 'number');
}
