import { LRUCache } from 'lru-cache';
import { SHAPE, SHAPE_SIZE, type TextShape } from './text-shape.ts';

/** English under today's tokenizers; other languages, code and markup are learnt. */
const DEFAULT_CHARS_PER_TOKEN = 4;
const MAX_MODELS = 1024;
/** How much the default weighs against the first answers, tokens. */
const PRIOR_TOKENS = 256;
/** The same for each kind of bytes. */
const PRIOR_TOKENS_OF_KIND = 16;
/** Old answers fade as new ones weigh in; this many tokens are remembered at full weight. */
const MEMORY_TOKENS = 50_000;
const LOWEST = 0.5;
const HIGHEST = 16;

/** Half of a symmetric matrix, row by row, and the right side of its equations. */
const SQUARES = (SHAPE_SIZE * (SHAPE_SIZE + 1)) / 2;
export const MOMENTS = SQUARES + SHAPE_SIZE;
/** Tokens of a message's frame before any answer. */
const DEFAULT_FRAME_TOKENS = 4;
/** Against the squares of bytes, frames and prompts in the first answers, over their tokens. */
const PRIOR_FRAMES = 3;
const PRIOR_PROMPTS = 0.05;
/** A short prompt says less of the rates than a long one, but not all that much less. */
const FEWEST_TOKENS = 16;

/** What one answer says: of how many bytes of text, of which shape, the prompt was. */
export interface ReadText {
  /** As `PromptHasher.textBytes` counts them. */
  readonly bytes: number;
  readonly shape: TextShape;
}

/** Bytes of text, the tokens that they were, and the sums from which the rates of the kinds of bytes follow. */
export interface Sums {
  chars: number;
  tokens: number;
  /** Sums of products of the parts of shapes, and of those with the tokens, each over the tokens: `MOMENTS` numbers. */
  readonly moments: Float64Array;
}

interface Learnt extends Sums {
  /** Tokens per part of a shape; undefined while the sums have others. */
  rates: Float64Array | undefined;
}

/**
 * How many tokens a text is under the tokenizer of each model, learnt from the `usage.prompt_tokens` that workers report: a rate
 * for each kind of its bytes, for message frames and for the template, by least squares. As long as nothing else is learnt all
 * bytes have the rate of English. The sums of several threads can be added.
 */
export class TokenRatio {
  readonly #models = new LRUCache<string, Learnt>({ max: MAX_MODELS });

  /** Bytes of text (UTF-8) per token, over all that was seen: for prompts of which no more than the length is known. */
  charsPerToken(model: string): number {
    const sums = this.#models.get(model);
    if (!sums) return DEFAULT_CHARS_PER_TOKEN;
    return within(sums.chars / sums.tokens);
  }

  /** The same for this text. */
  charsPerTokenOf(model: string, { bytes, shape }: ReadText): number {
    const learnt = this.#models.get(model);
    if (!learnt || bytes === 0) return DEFAULT_CHARS_PER_TOKEN;
    learnt.rates ??= solve(learnt.moments);
    let tokens = 0;
    for (let part = 0; part < SHAPE_SIZE; part++) tokens += learnt.rates[part]! * shape[part]!;
    return tokens > 0 ? within(bytes / tokens) : HIGHEST;
  }

  learn(model: string, text: ReadText, promptTokens: number): void {
    if (!canLearn(text, promptTokens)) return;
    this.add(model, sumsOf(text, promptTokens));
  }

  protected add(model: string, more: Sums): void {
    let sums = this.#models.get(model);
    if (!sums) {
      sums = { ...noSums(), rates: undefined };
      sums.chars = PRIOR_TOKENS * DEFAULT_CHARS_PER_TOKEN;
      sums.tokens = PRIOR_TOKENS;
      this.#models.set(model, sums);
    }
    addTo(sums, more);
    const keep = Math.min(1, MEMORY_TOKENS / sums.tokens);
    sums.chars *= keep;
    sums.tokens *= keep;
    for (let at = 0; at < MOMENTS; at++) sums.moments[at]! *= keep;
    sums.rates = undefined;
  }

  protected sumsOf(model: string): Readonly<Sums> | undefined {
    return this.#models.get(model);
  }

  protected set(model: string, sums: Readonly<Sums>): void {
    this.#models.set(model, { ...sums, rates: undefined });
  }

  protected get models(): Iterable<string> {
    return this.#models.keys();
  }
}

export function canLearn({ bytes, shape }: ReadText, promptTokens: number): boolean {
  return isCount(bytes) && isCount(promptTokens) && shape.every(Number.isFinite);
}

export function noSums(): Sums {
  return { chars: 0, tokens: 0, moments: new Float64Array(MOMENTS) };
}

export function sumsOf({ bytes, shape }: ReadText, promptTokens: number): Sums {
  const moments = new Float64Array(MOMENTS);
  const weight = 1 / Math.max(FEWEST_TOKENS, promptTokens);
  let at = 0;
  for (let row = 0; row < SHAPE_SIZE; row++)
    for (let column = 0; column <= row; column++) moments[at++] = weight * shape[row]! * shape[column]!;
  for (let row = 0; row < SHAPE_SIZE; row++) moments[at++] = weight * shape[row]! * promptTokens;
  return { chars: bytes, tokens: promptTokens, moments };
}

export function addTo(sums: Sums, more: Sums): void {
  sums.chars += more.chars;
  sums.tokens += more.tokens;
  for (let at = 0; at < MOMENTS; at++) sums.moments[at]! += more.moments[at]!;
}

function isCount(value: number): boolean {
  return value > 0 && value <= Number.MAX_SAFE_INTEGER;
}

function within(charsPerToken: number): number {
  return Math.min(HIGHEST, Math.max(LOWEST, charsPerToken));
}

/** What is believed of each part of a shape before any answer, and how much it weighs against the sums. */
function priorOf(part: number): { readonly rate: number; readonly weight: number } {
  if (part === SHAPE.frames) return { rate: DEFAULT_FRAME_TOKENS, weight: PRIOR_FRAMES };
  if (part === SHAPE.prompts) return { rate: 0, weight: PRIOR_PROMPTS };
  // As if so many tokens of it alone had been seen.
  const bytes = PRIOR_TOKENS_OF_KIND * DEFAULT_CHARS_PER_TOKEN;
  return { rate: 1 / DEFAULT_CHARS_PER_TOKEN, weight: (bytes * bytes) / PRIOR_TOKENS_OF_KIND };
}

/** The rates with the least error over all answers, by the decomposition of Cholesky. */
function solve(moments: Float64Array): Float64Array {
  const lower = moments.slice(0, SQUARES);
  const rates = moments.slice(SQUARES);
  for (let row = 0; row < SHAPE_SIZE; row++) {
    const { rate, weight } = priorOf(row);
    lower[cell(row, row)]! += weight;
    rates[row]! += weight * rate;
  }
  for (let row = 0; row < SHAPE_SIZE; row++)
    for (let column = 0; column <= row; column++) {
      let sum = lower[cell(row, column)]!;
      for (let k = 0; k < column; k++) sum -= lower[cell(row, k)]! * lower[cell(column, k)]!;
      lower[cell(row, column)] =
        row === column ? Math.sqrt(Math.max(sum, SMALLEST)) : sum / lower[cell(column, column)]!;
    }
  for (let row = 0; row < SHAPE_SIZE; row++) {
    for (let k = 0; k < row; k++) rates[row]! -= lower[cell(row, k)]! * rates[k]!;
    rates[row]! /= lower[cell(row, row)]!;
  }
  for (let row = SHAPE_SIZE - 1; row >= 0; row--) {
    for (let k = row + 1; k < SHAPE_SIZE; k++) rates[row]! -= lower[cell(k, row)]! * rates[k]!;
    rates[row]! /= lower[cell(row, row)]!;
  }
  return rates;
}

/** The priors keep what is rounded off far above this. */
const SMALLEST = 1e-9;

function cell(row: number, column: number): number {
  return (row * (row + 1)) / 2 + column;
}
