import { isObject, type JsonObject } from '../api/prompt-sink.ts';
import { randomInt, type Random } from '../base/random.ts';
import { jsonOf, type Patient } from './patient.ts';

/** Full blocks of a probe: so few that little is pushed out, and two so that the second is chained to the first. */
const BLOCKS = 2;
/** Where the worker does not tell the size of its blocks. */
const USUAL_BLOCK_SIZE = 16;

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
/** Half a million words of that length, so that no two probes begin alike. */
const WORD_LENGTH = 4;
/** A longer list is no answer to any of the prompts here. */
const MOST_IDS = 1 << 20;

/** Words of nobody, so that no cache holds anything of them. */
export function randomWords(random: Random, count: number): string {
  const letter = (): string => LETTERS[randomInt(random, LETTERS.length)] ?? 'a';
  const word = (): string => Array.from({ length: WORD_LENGTH }, letter).join('');
  return Array.from({ length: count }, word).join(' ');
}

/** A prompt of a few full blocks and a token more; of at least so many tokens where the worker has no `/tokenize`. */
export interface ProbePrompt {
  readonly prompt: string | readonly number[];
  /** What the worker computes; undefined where only the worker knows. */
  readonly ids: readonly number[] | undefined;
}

export const TOO_SHORT = 'the context of the model is shorter than a probe';

/** Undefined where the context of the model is too short for it. */
export function probePrompt(patient: Patient, signal: AbortSignal): Promise<ProbePrompt | undefined> {
  // The last token is computed anew in any case.
  return probeOf(patient, BLOCKS * (patient.chart.cache?.blockSize ?? USUAL_BLOCK_SIZE) + 1, signal);
}

/** The same of so many tokens. */
export async function probeOf(
  patient: Patient,
  tokens: number,
  signal: AbortSignal,
): Promise<ProbePrompt | undefined> {
  const { maxModelLen = Infinity } = patient.chart;
  if (tokens >= maxModelLen) return undefined;
  const text = randomWords(patient.random, tokens);
  const body = jsonOf(await patient.post('/tokenize', { model: patient.chart.model, prompt: text }, signal));
  const ids = typeof body === 'string' ? undefined : idsOf(body['tokens'])?.slice(0, tokens);
  return ids?.length === tokens ? { prompt: ids, ids } : { prompt: text, ids: undefined };
}

/** Undefined where the value is no list of token ids. */
export function idsOf(value: unknown): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length > MOST_IDS) return undefined;
  const list: readonly unknown[] = value;
  const isId = (id: unknown): id is number => Number.isSafeInteger(id) && Number(id) >= 0;
  return list.every(isId) ? list : undefined;
}

/** What the worker said of one probe. */
export interface Computed {
  readonly promptTokens: number;
  /** Undefined where the worker does not report it. */
  readonly cachedTokens: number | undefined;
  readonly ms: number;
}

/** Has the worker compute a prompt and one token; a text says why it did not. */
export function compute(
  patient: Patient,
  prompt: string | readonly number[],
  signal: AbortSignal,
): Promise<Computed | string> {
  return computeAt(patient, '/v1/completions', { prompt }, signal);
}

/** The same for any route that takes a prompt in some form. */
export async function computeAt(
  patient: Patient,
  path: string,
  prompt: JsonObject,
  signal: AbortSignal,
): Promise<Computed | string> {
  const { chart } = patient;
  const request = { model: chart.model, ...prompt, max_tokens: 1, temperature: 0, stream: false };
  const answer = await patient.post(path, request, signal);
  const body = jsonOf(answer);
  if (typeof body === 'string') return body;
  const usage = noteCost(patient, body);
  if (!usage) return 'an answer without usage';
  const details = usage['prompt_tokens_details'];
  const cached = isObject(details) ? details['cached_tokens'] : undefined;
  const ms = answer.kind === 'response' ? answer.ms : 0;
  const { prompt_tokens: promptTokens } = usage;
  return { promptTokens, cachedTokens: isCount(cached) ? cached : undefined, ms };
}

/** Books what an answer to a probe says of its tokens; undefined where it says nothing. */
export function noteCost(
  { cost }: Pick<Patient, 'cost'>,
  { usage }: JsonObject,
): (JsonObject & { readonly prompt_tokens: number }) | undefined {
  if (!isObject(usage)) return undefined;
  const { prompt_tokens, completion_tokens = 0 } = usage;
  if (!isCount(prompt_tokens) || !isCount(completion_tokens)) return undefined;
  cost.requests += 1;
  cost.prompt_tokens += prompt_tokens;
  cost.completion_tokens += completion_tokens;
  return { ...usage, prompt_tokens };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
