import { badRequest } from './api-error.ts';
import { readChatPrompt } from './chat.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { booleanField, objectField, stringField, tokenIds, type Fields } from './fields.ts';
import { NO_SCOPE } from '../engine/cache-scope.ts';
import { generate, kvParamsJson, planAnswer, samplingOf, scopeOf } from '../engine/generation.ts';
import { readMessagesPrompt } from './messages.ts';
import type { Planned } from './output.ts';
import { integerField } from './fields.ts';
import { appendPrompt, promptList } from './prompt.ts';
import { readResponsePrompt } from './responses.ts';
import type { SimState } from './sim-state.ts';
import { detokenize, tokenText } from '../engine/tokens.ts';

/** POST /tokenize: a prompt or a chat. */
export function tokenizeRoute(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  sim.modelOf(body);
  if (body['messages'] === undefined) {
    const prompt = stringField(body, 'prompt');
    if (prompt === undefined) throw badRequest('expected prompt or messages', 'prompt');
    sim.tokens.clear();
    sim.tokens.text(prompt);
  } else {
    readChatPrompt(sim, body);
  }
  const tokens = Array.from(sim.tokens.ids);
  const strings = booleanField(body, 'return_token_strs') ? tokens.map(tokenText) : null;
  const { maxModelLen } = sim.settings.model;
  exchange.reply.json(
    JSON.stringify({ count: tokens.length, max_model_len: maxModelLen, tokens, token_strs: strings }),
  );
}

/** POST /detokenize */
export function detokenizeRoute(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  sim.modelOf(body);
  exchange.reply.json(JSON.stringify({ prompt: detokenize(tokenIds(body['tokens'], 'tokens')) }));
}

/** POST /v1/chat/completions/render: the tokens that the chat would run on. */
export function renderChat(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const model = sim.modelOf(body);
  readChatPrompt(sim, body);
  exchange.reply.json(JSON.stringify(rendered(sim, exchange, body, model)));
}

/** POST /v1/messages/render */
export function renderMessages(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const model = sim.modelOf(body);
  readMessagesPrompt(sim, body);
  exchange.reply.json(JSON.stringify(rendered(sim, exchange, body, model)));
}

/** POST /v1/responses/render */
export function renderResponse(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const model = sim.modelOf(body);
  readResponsePrompt(sim, body);
  exchange.reply.json(JSON.stringify(rendered(sim, exchange, body, model)));
}

/** POST /v1/completions/render: one entry per prompt. */
export function renderCompletion(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const model = sim.modelOf(body);
  const entries = promptList(body['prompt'], 'prompt').map((prompt) => {
    sim.tokens.clear();
    appendPrompt(sim.tokens, prompt);
    return rendered(sim, exchange, body, model);
  });
  exchange.reply.json(JSON.stringify(entries));
}

function rendered(sim: SimState, exchange: Exchange, body: Fields, model: string): object {
  const maxTokens =
    integerField(body, 'max_completion_tokens', 1) ?? integerField(body, 'max_tokens', 1) ?? null;
  return {
    request_id: sim.requestId(exchange, body),
    token_ids: Array.from(sim.tokens.ids),
    sampling_params: { max_tokens: maxTokens },
    model,
  };
}

/** POST /inference/v1/generate: tokens in, tokens out, in one piece or as events. */
export function tokenGenerate(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const parameters = objectField(body, 'sampling_params') ?? {};
  const model = sim.modelOf(body);
  sim.tokens.clear();
  sim.tokens.append(tokenIds(body['token_ids'], 'token_ids'));
  const sampling = samplingOf(parameters, integerField(parameters, 'max_tokens', 1) ?? 16);
  const scope = scopeOf(sim, model, body);
  const plan = planAnswer(sim, { sampling, say: undefined, choice: 0, scope, keepIds: false });
  const id = sim.requestId(exchange, body);
  const { reply } = exchange;
  const engine = sim.engineFor(exchange);
  if (!booleanField(body, 'stream')) {
    generate(exchange, engine, [plan], {
      onAllDone: () => reply.json(tokensJson(id, plan, 0, plan.output.ids.length, kvParamsJson(exchange))),
    });
    return;
  }
  reply.startEvents();
  generate(exchange, engine, [plan], {
    onTokens: (_index, from, to) => reply.event(`data: ${tokensJson(id, plan, from, to)}\n\n`),
    onAllDone: () => {
      reply.event('data: [DONE]\n\n');
      reply.end();
    },
  });
}

function tokensJson(id: string, plan: Planned, from: number, to: number, kvParams = 'null'): string {
  const { ids, finishReason } = plan.output;
  const ended = to === ids.length;
  const choice = {
    index: 0,
    logprobs: null,
    finish_reason: ended ? finishReason : null,
    token_ids: ids.slice(from, to),
  };
  return (
    `{"request_id":${JSON.stringify(id)},"choices":[${JSON.stringify(choice)}],` +
    `"prompt_logprobs":null,"kv_transfer_params":${kvParams}}`
  );
}

/** POST /generate: `{"prompt"}` as in vLLM's demo server, `{"text"}` or `{"input_ids"}` as other engines take it. */
export function plainGenerate(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const parameters = objectField(body, 'sampling_params') ?? body;
  const prompt =
    stringField(body, 'prompt') ?? stringField(body, 'text') ?? tokenIds(body['input_ids'], 'prompt');
  sim.modelOf(body);
  sim.tokens.clear();
  appendPrompt(sim.tokens, prompt);
  const limit =
    integerField(parameters, 'max_new_tokens', 1) ?? integerField(parameters, 'max_tokens', 1) ?? 16;
  const plan = planAnswer(sim, {
    sampling: samplingOf(parameters, limit),
    say: undefined,
    choice: 0,
    scope: NO_SCOPE,
    keepIds: false,
  });
  const { reply } = exchange;
  const engine = sim.engineFor(exchange);
  const shown = (to: number, cachedTokens: number): string => {
    const text = detokenize(plan.output.ids.slice(0, to));
    if (body['prompt'] !== undefined) return JSON.stringify({ text: [`${String(prompt)}${text}`] });
    const ended = to === plan.output.ids.length;
    return JSON.stringify({
      text,
      meta_info: {
        id: sim.requestId(exchange, body),
        finish_reason: ended ? { type: plan.output.finishReason } : null,
        prompt_tokens: plan.promptTokens,
        completion_tokens: to,
        cached_tokens: cachedTokens,
      },
    });
  };
  if (!booleanField(body, 'stream')) {
    generate(exchange, engine, [plan], {
      onAllDone: ([sequence]) => reply.json(shown(plan.output.ids.length, sequence?.cachedTokens ?? 0)),
    });
    return;
  }
  reply.startEvents();
  const sequences = generate(exchange, engine, [plan], {
    onTokens: (_index, _from, to) => reply.event(`data: ${shown(to, sequences[0]?.cachedTokens ?? 0)}\n\n`),
    onAllDone: () => {
      reply.event('data: [DONE]\n\n');
      reply.end();
    },
  });
}
