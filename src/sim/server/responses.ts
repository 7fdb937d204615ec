import { badRequest, notFound } from './api-error.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { booleanField, integerField, isFields, stringField, type Fields } from './fields.ts';
import { echoOf, generate, planAnswer, samplingOf, scopeOf, usageOf } from '../engine/generation.ts';
import { outputText } from './output.ts';
import { chatPrompt, lastUserText } from './prompt.ts';
import { responseObject, type StoredResponse } from './response-object.ts';
import { ResponseEvents } from './response-events.ts';
import type { SimState } from './sim-state.ts';
import { tokenize } from '../engine/tokens.ts';
import { forcedToolCall } from './tools.ts';
import type { Sequence } from '../engine/sequence.ts';

const MOST_STORED = 1000;

/** POST /v1/responses */
export function createResponse(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const response = planResponse(sim, exchange, body);
  const background = booleanField(body, 'background');
  if (sim.settings.responsesStore && body['store'] !== false) keep(sim, response);
  else if (background) throw badRequest('background: expected the response to be stored', 'background');
  if (background) runInBackground(sim, exchange, response);
  else if (booleanField(body, 'stream')) stream(sim, exchange, response);
  else {
    generate(exchange, sim.engineFor(exchange), [response.plan], {
      onAllDone: (sequences) => {
        complete(response, sequences);
        response.kvParams = exchange.transfer?.params ?? null;
        exchange.reply.json(JSON.stringify(responseObject(response)));
      },
    });
  }
}

/** Responses live in the memory of the server that made them, as in vLLM; the oldest go first. */
function keep(sim: SimState, response: StoredResponse): void {
  const store = sim.responses;
  store.set(response.id, response);
  for (const [id] of store) {
    if (store.size <= MOST_STORED) break;
    store.delete(id);
  }
}

interface ResponseInput {
  readonly inputItems: readonly unknown[];
  readonly messages: readonly unknown[];
}

/** Reads the prompt into `sim.tokens`. */
export function readResponsePrompt(sim: SimState, body: Fields): ResponseInput {
  const previousId = stringField(body, 'previous_response_id');
  const previous = previousId === undefined ? undefined : sim.responses.get(previousId);
  if (previousId !== undefined && !previous) throw noSuchResponse(previousId);
  const inputItems = itemsOf(body['input']);
  const instructions = stringField(body, 'instructions');
  const messages = [
    ...(instructions === undefined ? [] : [{ role: 'system', content: instructions }]),
    ...(previous
      ? [...previous.messages, { role: 'assistant', content: outputText(previous.plan.output) }]
      : []),
    ...inputItems.map(messageOf),
  ];
  sim.tokens.clear();
  chatPrompt(sim.tokens, messages, body);
  return { inputItems, messages };
}

function planResponse(sim: SimState, exchange: Exchange, body: Fields): StoredResponse {
  const model = sim.modelOf(body);
  const { inputItems, messages } = readResponsePrompt(sim, body);
  const tool = forcedToolCall(body);
  const sampling = samplingOf(body, integerField(body, 'max_output_tokens', 1));
  const say = tool ? tokenize(tool.argumentsJson) : echoOf(sim, () => lastUserText(messages));
  const plan = planAnswer(sim, {
    sampling,
    say,
    choice: 0,
    scope: scopeOf(sim, model, body),
    keepIds: false,
  });
  return {
    id: `resp_${sim.requestId(exchange, body)}`,
    itemId: `${tool ? 'fc' : 'msg'}_${sim.nextId()}`,
    createdAt: sim.unixSeconds(),
    model,
    body,
    inputItems,
    messages,
    plan,
    tool,
    status: 'in_progress',
    usage: null,
    kvParams: null,
    cancel: undefined,
  };
}

function itemsOf(input: unknown): readonly unknown[] {
  if (typeof input === 'string')
    return [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: input }] }];
  if (!Array.isArray(input) || input.length === 0)
    throw badRequest('input: expected a string or a list of items', 'input');
  return input;
}

/** A chat message that stands for an input item, calls and their results included. */
function messageOf(item: unknown): object {
  if (!isFields(item)) throw badRequest('input: expected items to be objects', 'input');
  if (item['type'] === 'function_call') return { role: 'assistant', content: String(item['arguments']) };
  if (item['type'] === 'function_call_output') return { role: 'tool', content: String(item['output']) };
  return { role: typeof item['role'] === 'string' ? item['role'] : 'user', content: item['content'] };
}

function runInBackground(sim: SimState, exchange: Exchange, response: StoredResponse): void {
  response.status = 'queued';
  const engine = sim.engineFor(exchange);
  const queued = JSON.stringify(responseObject(response));
  response.status = 'in_progress';
  // Not tied to the exchange: a client that leaves does not stop work in the background.
  const { reply, transfer } = exchange;
  const sequences = generate({ reply, transfer, onAbort: undefined }, engine, [response.plan], {
    onAllDone: (done) => {
      complete(response, done);
    },
  });
  response.cancel = () => {
    for (const sequence of sequences) engine.abort(sequence);
  };
  exchange.reply.json(queued);
}

function stream(sim: SimState, exchange: Exchange, response: StoredResponse): void {
  const engine = sim.engineFor(exchange);
  const { reply } = exchange;
  reply.startEvents();
  const events = new ResponseEvents(response, (text) => {
    reply.event(text);
  });
  events.begin();
  generate(exchange, engine, [response.plan], {
    onTokens: (_index, from, to) => {
      if (from === 0) events.beginItem();
      events.delta(from, to);
    },
    onAllDone: (sequences) => {
      complete(response, sequences);
      events.end();
      reply.end();
    },
  });
}

function complete(response: StoredResponse, sequences: readonly Sequence[]): void {
  const usage = usageOf([response.plan], sequences);
  response.status = response.plan.output.finishReason === 'length' ? 'incomplete' : 'completed';
  response.cancel = undefined;
  response.usage = {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}

function noSuchResponse(id: string): Error {
  return notFound(`Response with id '${id}' not found.`, 'response_id');
}

function stored(sim: SimState, exchange: Exchange): StoredResponse {
  const response = sim.responses.get(exchange.pathId);
  if (!response) throw noSuchResponse(exchange.pathId);
  return response;
}

/** GET /v1/responses/{id} */
export function retrieveResponse(sim: SimState, exchange: Exchange): void {
  exchange.reply.json(JSON.stringify(responseObject(stored(sim, exchange))));
}

/** POST /v1/responses/{id}/cancel: work in the background only. */
export function cancelResponse(sim: SimState, exchange: Exchange): void {
  const response = stored(sim, exchange);
  if (!response.cancel) throw badRequest('Cannot cancel a synchronous or completed response.', 'response_id');
  response.cancel();
  response.cancel = undefined;
  response.status = 'cancelled';
  exchange.reply.json(JSON.stringify(responseObject(response)));
}

/** GET /v1/responses/{id}/input_items (vLLM itself has no such route; other servers of the API do). */
export function inputItems(sim: SimState, exchange: Exchange): void {
  exchange.reply.json(
    JSON.stringify({ object: 'list', data: stored(sim, exchange).inputItems, has_more: false }),
  );
}
