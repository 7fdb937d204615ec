import { badRequest } from './api-error.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { arrayField, booleanField, integerField, type Fields } from './fields.ts';
import {
  echoOf,
  generate,
  kvParamsJson,
  planAnswer,
  scopeOf,
  samplingOf,
  streamOptionsOf,
  usageJson,
  usageOf,
} from '../engine/generation.ts';
import type { Planned } from './output.ts';
import { chatPrompt, lastUserText } from './prompt.ts';
import type { SimState } from './sim-state.ts';
import { tokenize } from '../engine/tokens.ts';
import { forcedToolCall, type ToolCall } from './tools.ts';

const MAX_CHOICES = 128;

interface Chat {
  readonly id: string;
  readonly model: string;
  readonly created: string;
  readonly planned: readonly Planned[];
  readonly tool: ToolCall | undefined;
  readonly keepIds: boolean;
}

/** POST /v1/chat/completions */
export function chatCompletions(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const chat = planChat(sim, exchange, body);
  if (booleanField(body, 'stream')) streamChat(sim, exchange, body, chat);
  else answerChat(sim, exchange, chat);
}

/** The prompt of a chat body, written to `sim.tokens`. */
export function readChatPrompt(sim: SimState, body: Fields): readonly unknown[] {
  const messages = arrayField(body, 'messages');
  if (!messages || messages.length === 0)
    throw badRequest('messages: expected a list of at least one message', 'messages');
  sim.tokens.clear();
  chatPrompt(sim.tokens, messages, body);
  return messages;
}

/** How many answers are wanted. */
export function choicesOf(body: Fields): number {
  const n = integerField(body, 'n', 1) ?? 1;
  if (n > MAX_CHOICES) throw badRequest(`n: expected at most ${MAX_CHOICES}`, 'n');
  return n;
}

function planChat(sim: SimState, exchange: Exchange, body: Fields): Chat {
  const model = sim.modelOf(body);
  const n = choicesOf(body);
  const limit = integerField(body, 'max_completion_tokens', 1) ?? integerField(body, 'max_tokens', 1);
  const sampling = samplingOf(body, limit);
  const tool = forcedToolCall(body);
  const keepIds = booleanField(body, 'return_token_ids');
  const planned: Planned[] = [];
  for (let choice = 0; choice < n; choice++) {
    const messages = readChatPrompt(sim, body);
    const say = tool ? tokenize(tool.argumentsJson) : echoOf(sim, () => lastUserText(messages));
    planned.push(planAnswer(sim, { sampling, say, choice, scope: scopeOf(sim, model, body), keepIds }));
  }
  return {
    id: JSON.stringify(`chatcmpl-${sim.requestId(exchange, body)}`),
    model: JSON.stringify(model),
    created: String(sim.unixSeconds()),
    planned,
    tool,
    keepIds,
  };
}

function answerChat(sim: SimState, exchange: Exchange, chat: Chat): void {
  const engine = sim.engineFor(exchange);
  generate(exchange, engine, chat.planned, {
    onAllDone: (sequences) => {
      const choices = chat.planned.map((plan, index) => {
        const message = chat.tool
          ? `{"role":"assistant","content":null,"tool_calls":[${toolCallJson(sim, chat.tool, plan.output.pieces.join(''))}]}`
          : `{"role":"assistant","content":"${plan.output.pieces.join('')}","tool_calls":[]}`;
        const ids = chat.keepIds ? `,"token_ids":[${plan.output.ids.join(',')}]` : '';
        return `{"index":${index},"message":${message},"logprobs":null,${endOf(chat, plan)}${ids}}`;
      });
      const promptIds = chat.planned[0]?.promptIds;
      exchange.reply.json(
        `{"id":${chat.id},"object":"chat.completion","created":${chat.created},"model":${chat.model},` +
          `"choices":[${choices.join(',')}],"usage":${usageJson(sim, usageOf(chat.planned, sequences))},` +
          `"prompt_logprobs":null,"prompt_token_ids":${promptIds ? `[${promptIds.join(',')}]` : 'null'},` +
          `"kv_transfer_params":${kvParamsJson(exchange)},"service_tier":null,"system_fingerprint":null}`,
      );
    },
  });
}

function streamChat(sim: SimState, exchange: Exchange, body: Fields, chat: Chat): void {
  const options = streamOptionsOf(body);
  const { reply } = exchange;
  const engine = sim.engineFor(exchange);
  const head = `data: {"id":${chat.id},"object":"chat.completion.chunk","created":${chat.created},"model":${chat.model},"choices":[`;
  const running: { promptTokens: number; completionTokens: number; cachedTokens: number } = {
    promptTokens: chat.planned[0]?.promptTokens ?? 0,
    completionTokens: 0,
    cachedTokens: 0,
  };
  const usage = (): string => (options.continuousUsage ? `,"usage":${usageJson(sim, running)}` : '');
  reply.startEvents();
  const sequences = generate(exchange, engine, chat.planned, {
    onTokens: (index, from, to) => {
      const plan = chat.planned[index];
      if (!plan) return;
      const at = `{"index":${index},"delta":`;
      if (from === 0) {
        running.cachedTokens = sequences[0]?.cachedTokens ?? 0;
        const ids =
          chat.keepIds && index === 0 ? `,"prompt_token_ids":[${(plan.promptIds ?? []).join(',')}]` : '';
        const opening = `${at}{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]${ids}${usage()}}\n\n`;
        reply.event(head + opening);
      }
      running.completionTokens += to - from;
      const end = to === plan.output.ids.length ? endOf(chat, plan) : '"finish_reason":null';
      const ids = chat.keepIds ? `,"token_ids":[${plan.output.ids.slice(from, to).join(',')}]` : '';
      const delta = deltaOf(sim, chat, plan, from, to);
      reply.event(`${head}${at}${delta},"logprobs":null,${end}${ids}}]${usage()}}\n\n`);
    },
    onAllDone: (ended) => {
      if (options.includeUsage)
        reply.event(`${head}],"usage":${usageJson(sim, usageOf(chat.planned, ended))}}\n\n`);
      reply.event('data: [DONE]\n\n');
      reply.end();
    },
  });
}

function deltaOf(sim: SimState, chat: Chat, plan: Planned, from: number, to: number): string {
  const { pieces } = plan.output;
  const text = to - from === 1 ? (pieces[from] ?? '') : pieces.slice(from, to).join('');
  if (!chat.tool) return `{"content":"${text}"}`;
  const call =
    from === 0 ? toolCallJson(sim, chat.tool, text, 0) : `{"index":0,"function":{"arguments":"${text}"}}`;
  return `{"tool_calls":[${call}]}`;
}

function toolCallJson(sim: SimState, tool: ToolCall, argumentsText: string, index?: number): string {
  const at = index === undefined ? '' : `"index":${index},`;
  const name = JSON.stringify(tool.name);
  return `{${at}"id":"chatcmpl-tool-${sim.nextId()}","type":"function","function":{"name":${name},"arguments":"${argumentsText}"}}`;
}

function endOf(chat: Chat, plan: Planned): string {
  const { finishReason, stopReason } = plan.output;
  const reason = chat.tool && finishReason === 'stop' ? 'tool_calls' : finishReason;
  return `"finish_reason":"${reason}","stop_reason":${JSON.stringify(stopReason)}`;
}
