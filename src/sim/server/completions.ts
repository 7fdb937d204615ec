import { fieldsOf, type Exchange } from './exchange.ts';
import { booleanField, integerField, type Fields } from './fields.ts';
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
import { choicesOf } from './chat.ts';
import { escapeJson, type Planned } from './output.ts';
import { appendPrompt, promptList } from './prompt.ts';
import type { SimState } from './sim-state.ts';
import { detokenize } from '../engine/tokens.ts';

/** vLLM's default for this route, as in OpenAI's API of old. */
const DEFAULT_MAX_TOKENS = 16;

interface Completion {
  readonly head: string;
  readonly planned: readonly Planned[];
  /** Text before each answer (`echo: true`), escaped. */
  readonly before: readonly string[];
  readonly keepIds: boolean;
}

/** POST /v1/completions: prompts x n answers, in that order. */
export function completions(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const completion = planCompletion(sim, exchange, body);
  if (booleanField(body, 'stream')) stream(sim, exchange, body, completion);
  else answer(sim, exchange, completion);
}

function planCompletion(sim: SimState, exchange: Exchange, body: Fields): Completion {
  const model = sim.modelOf(body);
  const n = choicesOf(body);
  const sampling = samplingOf(body, integerField(body, 'max_tokens', 1) ?? DEFAULT_MAX_TOKENS);
  const keepIds = booleanField(body, 'return_token_ids');
  const scope = scopeOf(sim, model, body);
  const planned: Planned[] = [];
  const before: string[] = [];
  for (const prompt of promptList(body['prompt'], 'prompt')) {
    const text = (): string => (typeof prompt === 'string' ? prompt : detokenize(prompt));
    for (let choice = 0; choice < n; choice++) {
      sim.tokens.clear();
      appendPrompt(sim.tokens, prompt);
      planned.push(planAnswer(sim, { sampling, say: echoOf(sim, text), choice, scope, keepIds }));
      before.push(booleanField(body, 'echo') ? escapeJson(text()) : '');
    }
  }
  const id = JSON.stringify(`cmpl-${sim.requestId(exchange, body)}`);
  const created = String(sim.unixSeconds());
  return {
    head: `{"id":${id},"object":"text_completion","created":${created},"model":${JSON.stringify(model)},"choices":[`,
    planned,
    before,
    keepIds,
  };
}

function answer(sim: SimState, exchange: Exchange, completion: Completion): void {
  const { planned, before, head } = completion;
  generate(exchange, sim.engineFor(exchange), planned, {
    onAllDone: (sequences) => {
      const choices = planned.map((plan, index) => {
        const text = (before[index] ?? '') + plan.output.pieces.join('');
        return choiceJson(completion, index, text, 0, plan.output.ids.length);
      });
      const usage = usageJson(sim, usageOf(planned, sequences));
      exchange.reply.json(
        `${head}${choices.join(',')}],"usage":${usage},"kv_transfer_params":${kvParamsJson(exchange)}}`,
      );
    },
  });
}

function stream(sim: SimState, exchange: Exchange, body: Fields, completion: Completion): void {
  const options = streamOptionsOf(body);
  const { planned, before } = completion;
  const { reply } = exchange;
  const head = `data: ${completion.head}`;
  const promptTokens = planned.reduce((sum, plan) => sum + (plan.choice === 0 ? plan.promptTokens : 0), 0);
  let completionTokens = 0;
  const engine = sim.engineFor(exchange);
  reply.startEvents();
  const sequences = generate(exchange, engine, planned, {
    onTokens: (index, from, to) => {
      const pieces = planned[index]?.output.pieces ?? [];
      const text = to - from === 1 ? (pieces[from] ?? '') : pieces.slice(from, to).join('');
      completionTokens += to - from;
      const cachedTokens = sequences[0]?.cachedTokens ?? 0;
      const usage = options.continuousUsage
        ? `,"usage":${usageJson(sim, { promptTokens, completionTokens, cachedTokens })}`
        : '';
      const choice = choiceJson(
        completion,
        index,
        from === 0 ? (before[index] ?? '') + text : text,
        from,
        to,
      );
      reply.event(`${head}${choice}]${usage}}\n\n`);
    },
    onAllDone: (ended) => {
      if (options.includeUsage)
        reply.event(`${head}],"usage":${usageJson(sim, usageOf(planned, ended))}}\n\n`);
      reply.event('data: [DONE]\n\n');
      reply.end();
    },
  });
}

function choiceJson(completion: Completion, index: number, text: string, from: number, to: number): string {
  const plan = completion.planned[index];
  const ended = to === plan?.output.ids.length;
  const end = ended
    ? `"finish_reason":"${plan.output.finishReason}","stop_reason":${JSON.stringify(plan.output.stopReason)}`
    : '"finish_reason":null,"stop_reason":null';
  let ids = '';
  if (completion.keepIds) {
    ids = `,"token_ids":[${(plan?.output.ids ?? []).slice(from, to).join(',')}]`;
    if (from === 0) ids += `,"prompt_token_ids":[${(plan?.promptIds ?? []).join(',')}]`;
  }
  return `{"index":${index},"text":"${text}","logprobs":null,${end}${ids}}`;
}
