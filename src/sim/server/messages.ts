import { badRequest, errorJson, type ApiError } from './api-error.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { arrayField, booleanField, integerField, isFields, stringsField, type Fields } from './fields.ts';
import {
  echoOf,
  generate,
  planAnswer,
  samplingOf,
  scopeOf,
  usageOf,
  type Usage,
} from '../engine/generation.ts';
import { outputText, type Planned } from './output.ts';
import { chatPrompt, lastUserText } from './prompt.ts';
import type { SimState } from './sim-state.ts';
import { tokenize } from '../engine/tokens.ts';
import { forcedToolCall, type ToolCall } from './tools.ts';

interface Message {
  readonly id: string;
  readonly model: string;
  readonly plan: Planned;
  readonly tool: ToolCall | undefined;
  readonly toolId: string;
}

/** With everything behind it. */
export const MESSAGES_PATH = '/v1/messages';

/** POST /v1/messages: Anthropic's shapes over the same engine. */
export function messages(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const message = planMessage(sim, exchange, body);
  if (booleanField(body, 'stream')) {
    stream(sim, exchange, message);
    return;
  }
  generate(exchange, sim.engineFor(exchange), [message.plan], {
    onAllDone: (sequences) => {
      const said = outputText(message.plan.output);
      const block = message.tool
        ? { type: 'tool_use', id: message.toolId, name: message.tool.name, input: parseOrEmpty(said) }
        : { type: 'text', text: said };
      const usage = usageObject(usageOf([message.plan], sequences));
      const kvParams = exchange.transfer?.params;
      const answer = { ...opening(message, [block]), ...ending(message), usage };
      // The only route whose answers leave out what is null.
      exchange.reply.json(JSON.stringify({ ...answer, ...(kvParams && { kv_transfer_params: kvParams }) }));
    },
  });
}

/** POST /v1/messages/count_tokens */
export function countTokens(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  sim.modelOf(body);
  readMessagesPrompt(sim, body);
  exchange.reply.json(JSON.stringify({ input_tokens: sim.tokens.length }));
}

/** In the shape of the API that the path belongs to, where the server has it. */
export function errorJsonFor({ settings }: SimState, path: string, problem: ApiError): string {
  const isMessages = settings.messagesApi && path.startsWith(MESSAGES_PATH);
  return isMessages ? anthropicErrorJson(problem.status, problem.message) : errorJson(problem);
}

/** Anthropic's error object. */
function anthropicErrorJson(status: number, message: string): string {
  const types: Readonly<Record<number, string>> = {
    400: 'invalid_request_error',
    404: 'not_found_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
  };
  return JSON.stringify({ type: 'error', error: { type: types[status] ?? 'api_error', message } });
}

/** Reads the prompt into `sim.tokens`; gives the messages. */
export function readMessagesPrompt(sim: SimState, body: Fields): readonly unknown[] {
  const list = arrayField(body, 'messages');
  if (!list || list.length === 0)
    throw badRequest('messages: expected a list of at least one message', 'messages');
  const system = body['system'];
  const all = system === undefined ? list : [{ role: 'system', content: system }, ...list];
  sim.tokens.clear();
  chatPrompt(sim.tokens, all, body);
  return list;
}

function planMessage(sim: SimState, exchange: Exchange, body: Fields): Message {
  const model = sim.modelOf(body);
  const maxTokens = integerField(body, 'max_tokens', 1);
  if (maxTokens === undefined) throw badRequest('max_tokens: expected a whole number >= 1', 'max_tokens');
  const list = readMessagesPrompt(sim, body);
  const tool = toolOf(body);
  const sampling = { ...samplingOf({}, maxTokens), stop: stringsField(body, 'stop_sequences') };
  const say = tool ? tokenize(tool.argumentsJson) : echoOf(sim, () => lastUserText(list));
  const plan = planAnswer(sim, {
    sampling,
    say,
    choice: 0,
    scope: scopeOf(sim, model, body),
    keepIds: false,
  });
  return { id: `msg_${sim.requestId(exchange, {})}`, model, plan, tool, toolId: `toolu_${sim.nextId()}` };
}

/** `tool_choice: {type: any}` forces some tool, `{type: tool, name}` that one. */
function toolOf(body: Fields): ToolCall | undefined {
  const choice = body['tool_choice'];
  if (!isFields(choice)) return undefined;
  if (choice['type'] === 'any') return forcedToolCall({ tools: body['tools'], tool_choice: 'required' });
  if (choice['type'] === 'tool') return forcedToolCall({ tools: body['tools'], tool_choice: choice });
  return undefined;
}

function opening(message: Message, content: readonly object[]): object {
  return { id: message.id, type: 'message', role: 'assistant', model: message.model, content };
}

function ending(message: Message): { readonly stop_reason: string; readonly stop_sequence: string | null } {
  const { finishReason, stopReason } = message.plan.output;
  if (finishReason === 'length') return { stop_reason: 'max_tokens', stop_sequence: null };
  if (message.tool) return { stop_reason: 'tool_use', stop_sequence: null };
  return { stop_reason: stopReason === null ? 'end_turn' : 'stop_sequence', stop_sequence: stopReason };
}

/** What was read from the cache is no input: the prompt is the sum of the three. */
function usageObject(usage: Usage): object {
  return {
    input_tokens: usage.promptTokens - usage.cachedTokens,
    output_tokens: usage.completionTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: usage.cachedTokens,
  };
}

function stream(sim: SimState, exchange: Exchange, message: Message): void {
  const { reply } = exchange;
  const { plan, tool } = message;
  const event = (type: string, fields: object): void => {
    reply.event(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  };
  const engine = sim.engineFor(exchange);
  reply.startEvents();
  const sequences = generate(exchange, engine, [plan], {
    onTokens: (_index, from, to) => {
      if (from === 0) {
        const { cachedTokens } = usageOf([plan], sequences);
        const usage = usageObject({ promptTokens: plan.promptTokens, completionTokens: 0, cachedTokens });
        const start = { ...opening(message, []), stop_reason: null, stop_sequence: null, usage };
        event('message_start', { message: start });
        const block = tool
          ? { type: 'tool_use', id: message.toolId, name: tool.name, input: {} }
          : { type: 'text', text: '' };
        event('content_block_start', { index: 0, content_block: block });
      }
      const text = outputText(plan.output, from, to);
      const delta = tool ? { type: 'input_json_delta', partial_json: text } : { type: 'text_delta', text };
      event('content_block_delta', { index: 0, delta });
    },
    onAllDone: (done) => {
      event('content_block_stop', { index: 0 });
      event('message_delta', { delta: ending(message), usage: usageObject(usageOf([plan], done)) });
      event('message_stop', {});
      reply.end();
    },
  });
}

/** Arguments that `max_tokens` cut off are no JSON. */
function parseOrEmpty(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
