import { LRUCache } from 'lru-cache';

/** English under today's tokenizers; other languages, code and markup are learnt. */
const DEFAULT_CHARS_PER_TOKEN = 4;
const MAX_MODELS = 1024;
/** How much the default weighs against the first answers, tokens. */
const PRIOR_TOKENS = 256;
/** Old answers fade as new ones weigh in; this many tokens are remembered at full weight. */
const MEMORY_TOKENS = 50_000;
const LOWEST = 0.5;
const HIGHEST = 16;

/** Bytes of text, and the tokens that they were. */
export interface Sums {
  chars: number;
  tokens: number;
}

/**
 * Bytes of text (UTF-8) per token of each model, learnt from the `usage.prompt_tokens` that workers report. A ratio of sums, so
 * that long prompts, which matter for placement, count more than short ones, which are mostly chat template.
 */
export class TokenRatio {
  readonly #models = new LRUCache<string, Sums>({ max: MAX_MODELS });

  charsPerToken(model: string): number {
    const sums = this.#models.get(model);
    if (!sums) return DEFAULT_CHARS_PER_TOKEN;
    return Math.min(HIGHEST, Math.max(LOWEST, sums.chars / sums.tokens));
  }

  /** @param chars Bytes of the prompt's text, as `PromptHasher.textBytes` counts them. */
  learn(model: string, chars: number, promptTokens: number): void {
    if (!(chars > 0) || !(promptTokens > 0) || chars === Infinity || promptTokens === Infinity) return;
    let sums = this.#models.get(model);
    if (!sums) {
      sums = { chars: PRIOR_TOKENS * DEFAULT_CHARS_PER_TOKEN, tokens: PRIOR_TOKENS };
      this.#models.set(model, sums);
    }
    const tokens = sums.tokens + promptTokens;
    const keep = Math.min(1, MEMORY_TOKENS / tokens);
    sums.chars = (sums.chars + chars) * keep;
    sums.tokens = tokens * keep;
  }

  protected sumsOf(model: string): Readonly<Sums> | undefined {
    return this.#models.get(model);
  }

  protected set(model: string, sums: Readonly<Sums>): void {
    this.#models.set(model, { ...sums });
  }

  protected get models(): Iterable<string> {
    return this.#models.keys();
  }
}
