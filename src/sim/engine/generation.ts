import { readBoolean } from '../../api/python-json.ts';
import { badRequest } from '../server/api-error.ts';
import type { Exchange } from '../server/exchange.ts';
import {
  booleanField,
  integerField,
  objectField,
  stringField,
  stringsField,
  type Fields,
} from '../server/fields.ts';
import { fixedOutput, naturalLength, wordsOutput, type Planned, type Sampling } from '../server/output.ts';
import type { SimState } from '../server/sim-state.ts';
import { scopeHash, type CacheScope } from './cache-scope.ts';
import { blockHashes, scramble, tokenize } from './tokens.ts';
import type { Sequence } from './sequence.ts';
import type { WorkerModel } from './worker-model.ts';

export interface PlanOptions {
  readonly sampling: Sampling;
  /** Exact words instead of made-up ones. */
  readonly say: readonly number[] | undefined;
  readonly choice: number;
  readonly scope: CacheScope;
  readonly keepIds: boolean;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

/** Reads the sampling fields of the OpenAI routes. `maxTokens` is not yet checked against the prompt. */
export function samplingOf(fields: Fields, maxTokens: number | undefined): Sampling {
  const priority = integerField(fields, 'priority', -(2 ** 31));
  if (priority !== undefined && priority !== 0) {
    throw badRequest(`Got priority ${priority} but Priority scheduling is not enabled.`, 'priority');
  }
  return {
    maxTokens: maxTokens ?? Infinity,
    minTokens: integerField(fields, 'min_tokens', 0) ?? 0,
    ignoreEos: booleanField(fields, 'ignore_eos'),
    stop: stringsField(fields, 'stop'),
    includeStop: booleanField(fields, 'include_stop_str_in_output'),
  };
}

export function scopeOf(sim: SimState, model: string, fields: Fields): CacheScope {
  return { adapter: sim.loras.has(model) ? model : undefined, salt: stringField(fields, 'cache_salt') };
}

/** How the tokens collected in `sim.tokens`, prompt and output, are cached. */
export function cachedAs(sim: SimState, scope: CacheScope): Pick<Planned, 'hashes' | 'tokens'> {
  const { ids } = sim.tokens;
  const { model, kvEvents } = sim.settings;
  return {
    hashes: blockHashes(ids, model.blockSize, scopeHash(scope)),
    tokens: kvEvents === undefined ? undefined : { ids: ids.slice(), scope },
  };
}

/** Plans an answer to the prompt in `sim.tokens`; throws vLLM's 400 when both do not fit the context. */
export function planAnswer(sim: SimState, options: PlanOptions): Planned {
  const { tokens, settings } = sim;
  if (tokens.length === 0) throw badRequest('The prompt is empty.', 'prompt');
  const promptTokens = tokens.length;
  const room = settings.model.maxModelLen - promptTokens;
  const wanted = options.sampling.maxTokens === Infinity ? 0 : options.sampling.maxTokens;
  if (room < Math.max(1, wanted)) {
    throw badRequest(
      `This model's maximum context length is ${settings.model.maxModelLen} tokens. However, you requested ` +
        `${String(promptTokens + wanted)} tokens (${promptTokens} in the messages, ${wanted} in the completion).`,
      'max_tokens',
    );
  }
  const promptIds = options.keepIds ? Array.from(tokens.ids) : undefined;
  const seed = seedOf(tokens.ids, settings.seed, options.choice);
  const natural = naturalLength(seed, settings.outputTokens, settings.outputSpread);
  const limit = options.sampling.maxTokens === Infinity && options.sampling.ignoreEos ? natural : room;
  const sampling = { ...options.sampling, maxTokens: Math.min(options.sampling.maxTokens, limit) };
  const output = options.say ? fixedOutput(options.say, sampling) : wordsOutput(seed, natural, sampling);
  tokens.append(output.ids);
  return { promptTokens, promptIds, output, choice: options.choice, ...cachedAs(sim, options.scope) };
}

function seedOf(ids: Int32Array, seed: number, choice: number): number {
  let hash = scramble(seed + 0x632be5ab * (choice + 1));
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193) ^ (hash >>> 11);
  return scramble(hash);
}

/** What to echo, when the worker is set to. */
export function echoOf(sim: SimState, text: () => string): readonly number[] | undefined {
  return sim.settings.reply === 'echo' ? tokenize(text()) : undefined;
}

/** What `generate` needs of an exchange. */
export type Answered = Pick<Exchange, 'reply' | 'onAbort'> & Partial<Pick<Exchange, 'transfer'>>;

export interface Listener {
  /** Tokens `from` to `to` of answer `index` are there. */
  onTokens?(index: number, from: number, to: number): void;
  onDone?(index: number): void;
  /** After every answer's `onDone`. */
  onAllDone(sequences: readonly Sequence[]): void;
}

/**
 * Sends the planned answers to an engine; aborts them all if the client leaves. Tokens that come while the client does
 * not read are held back and told in one piece later, so that a slow reader costs no memory.
 */
export function generate(
  exchange: Answered,
  engine: WorkerModel,
  planned: readonly Planned[],
  listener: Listener,
): readonly Sequence[] {
  const sequences: Sequence[] = [];
  const { transfer } = exchange;
  let open = planned.length;
  const abort = (): void => {
    for (const sequence of sequences) engine.abort(sequence);
    transfer?.abandon(sequences[0]);
  };
  const failed = (): void => {
    abort();
    exchange.reply.fail();
  };
  exchange.onAbort = abort;
  for (const [index, plan] of planned.entries()) {
    const { output } = plan;
    const teller = listener.onTokens && new Teller(exchange, index, output.ids.length, listener);
    const finish = (): void => {
      listener.onDone?.(index);
      if (--open > 0) return;
      const [first] = sequences;
      const allDone = (): void => listener.onAllDone(sequences);
      if (transfer && first) transfer.done(first, planned[0]?.output.ids[0], allDone);
      else allDone();
    };
    sequences.push(
      engine.submit({
        promptTokens: plan.promptTokens,
        outputTokens: output.ids.length,
        hashes: plan.hashes,
        tokens: plan.tokens,
        finishedReason: output.finishReason,
        ...(index === 0 && transfer?.ask(engine, plan.hashes, failed)),
        ...(teller && {
          onTokens: (count: number) => {
            if (exchange.reply.over && exchange.reply.state === 'cut') abort();
            else teller.add(count, finish);
          },
        }),
        onDone: () => {
          if (!teller) finish();
        },
      }),
    );
  }
  return sequences;
}

class Teller {
  readonly #exchange: Answered;
  readonly #index: number;
  readonly #total: number;
  readonly #listener: Listener;
  #told = 0;
  #made = 0;
  #draining = false;

  constructor(exchange: Answered, index: number, total: number, listener: Listener) {
    this.#exchange = exchange;
    this.#index = index;
    this.#total = total;
    this.#listener = listener;
  }

  add(count: number, finish: () => void): void {
    this.#made += count;
    if (this.#draining) return;
    if (this.#exchange.reply.blocked && !this.#exchange.reply.over) {
      this.#draining = true;
      this.#exchange.reply.onDrain(() => {
        this.#draining = false;
        this.add(0, finish);
      });
      return;
    }
    const from = this.#told;
    this.#told = this.#made;
    if (this.#told > from) this.#listener.onTokens?.(this.#index, from, this.#told);
    if (this.#told === this.#total) finish();
  }
}

/**
 * A prompt counts once, however many answers were asked for; what was cached of it is vLLM's word for the last of them,
 * which finds what the first has just filled.
 */
export function usageOf(planned: readonly Planned[], sequences: readonly Sequence[]): Usage {
  let promptTokens = 0;
  let completionTokens = 0;
  let cachedTokens = 0;
  for (const [i, plan] of planned.entries()) {
    completionTokens += plan.output.ids.length;
    if (plan.choice === 0) promptTokens += plan.promptTokens;
    const isLast = (planned[i + 1]?.choice ?? 0) === 0;
    if (isLast) cachedTokens += sequences[i]?.cachedTokens ?? 0;
  }
  return { promptTokens, completionTokens, cachedTokens };
}

/** OpenAI's usage object. */
export function usageJson(sim: SimState, usage: Usage): string {
  const details = sim.settings.promptTokensDetails ? `{"cached_tokens":${usage.cachedTokens}}` : 'null';
  return (
    `{"prompt_tokens":${usage.promptTokens},"total_tokens":${String(usage.promptTokens + usage.completionTokens)},` +
    `"completion_tokens":${usage.completionTokens},"prompt_tokens_details":${details}}`
  );
}

/** `kv_transfer_params` of an answer in one piece; streams have none. */
export function kvParamsJson({ transfer }: Pick<Exchange, 'transfer'>): string {
  return transfer ? JSON.stringify(transfer.params) : 'null';
}

export interface StreamOptions {
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
}

export function streamOptionsOf(fields: Fields): StreamOptions {
  const options = objectField(fields, 'stream_options');
  if (options && !booleanField(fields, 'stream')) {
    throw badRequest('Stream options can only be defined when `stream=True`.', 'stream_options');
  }
  return {
    // In vLLM `include_usage` is on by default once the object is there.
    includeUsage: options !== undefined && readBoolean(options['include_usage']) !== false,
    continuousUsage: options !== undefined && booleanField(options, 'continuous_usage_stats'),
  };
}
