import type { Equation } from './least-squares.ts';
import { WorkOverTime, type Work } from './work-over-time.ts';

/** One request as a worker served it, in ms. */
export interface ServedRequest {
  readonly worker: number;
  /** When it was sent there. */
  readonly at: number;
  /** From there to the first token. */
  readonly ttftMs: number;
  /** From there to the end. */
  readonly e2eMs: number;
  /** Prompt tokens that it had to compute. */
  readonly uncachedTokens: number;
  readonly outputTokens: number;
}

/** Equations over [ms per prefill token, ms per step, ms per token of the step, ms per prompt]. */
export interface WorkerEquations {
  readonly prefill: readonly Equation[];
  readonly decode: readonly Equation[];
}

/** Prompts that follow each other without a gap are looked at together: one step computes the end of one and the beginning of the next. */
const MOST_CHAINED = 8;
const LEAST_DECODED = 8;

interface Prompt {
  /** When its computing can have begun. */
  readonly from: number;
  readonly to: number;
  readonly tokens: number;
  readonly follows: boolean;
}

/**
 * What one worker's requests say of its speed, if its steps take `stepTokens` tokens. While a prompt is computed the batch
 * goes on decoding, one token in each of the few long steps, and while a request decodes other prompts are computed: each
 * stretch of time is explained by all the work that fell into it.
 */
export function equationsOf(requests: readonly ServedRequest[], stepTokens: number): WorkerEquations {
  const prompts = promptsOf(requests);
  const decoding = requests
    .filter(({ outputTokens, e2eMs, ttftMs }) => outputTokens > 1 && e2eMs > ttftMs)
    .map(({ at, ttftMs, e2eMs, outputTokens }) => ({
      from: at + ttftMs,
      to: at + e2eMs,
      amount: outputTokens - 1,
    }));
  const work = new Batch(prompts, decoding, stepTokens);
  const prefill = chainsOf(prompts).map((chain) => work.explainPrompts(chain));
  const decode = decoding
    .filter(({ amount }) => amount >= LEAST_DECODED)
    .map(({ from, to, amount }) => ({
      values: [work.computed.between(from, to), amount, Math.max(amount, work.tokens(from, to)), 0],
      target: to - from,
    }));
  return { prefill: prefill.filter(({ target }) => target > 0), decode };
}

/** What the batch did at any time: how many steps it took for prompts, and how many tokens it decoded. */
class Batch {
  readonly computed: WorkOverTime;
  /** Requests that decode, times time. */
  readonly #presence: WorkOverTime;
  readonly #promptTime: WorkOverTime;
  readonly #promptSteps: WorkOverTime;
  readonly #tokensInPrompts: WorkOverTime;
  /** Over the time in which no prompt is computed. */
  readonly #tokensBetween: WorkOverTime;

  constructor(prompts: readonly Prompt[], decoding: readonly Work[], stepTokens: number) {
    this.computed = new WorkOverTime(prompts.map(({ from, to, tokens: amount }) => ({ from, to, amount })));
    this.#presence = new WorkOverTime(decoding.map(({ from, to }) => ({ from, to, amount: to - from })));
    this.#promptTime = new WorkOverTime(prompts.map(({ from, to }) => ({ from, to, amount: to - from })));
    const steps = prompts.map(({ from, to, tokens, follows }) => {
      const shares = tokens / Math.max(1, stepTokens - this.#decoders(from, to));
      return { from, to, amount: follows ? shares : Math.max(1, Math.ceil(shares)) };
    });
    this.#promptSteps = new WorkOverTime(steps);
    this.#tokensInPrompts = new WorkOverTime(
      steps.map(({ from, to, amount }) => ({ from, to, amount: amount * this.#decoders(from, to) })),
    );
    this.#tokensBetween = new WorkOverTime(
      decoding.map(({ from, to, amount }) => ({
        from: this.#timeBetween(from),
        to: this.#timeBetween(to),
        amount: Math.max(0, amount - this.#promptSteps.between(from, to)),
      })),
    );
  }

  tokens(from: number, to: number): number {
    return (
      this.#tokensInPrompts.between(from, to) +
      this.#tokensBetween.between(this.#timeBetween(from), this.#timeBetween(to))
    );
  }

  explainPrompts({ from, to, tokens, count }: Chain): Equation {
    const decoders = this.#decoders(from, to);
    // Who comes while the batch decodes waits for the end of a step, in the mean for half of one.
    const wait = count > 0 && decoders > 0 ? 0.5 : 0;
    const steps = this.#promptSteps.between(from, to) * Math.min(1, decoders);
    const decoded = this.#tokensInPrompts.between(from, to);
    return { values: [tokens, steps + wait, decoded + wait * decoders, count], target: to - from };
  }

  /** How many requests decode, in the mean. */
  #decoders(from: number, to: number): number {
    return to > from ? this.#presence.between(from, to) / (to - from) : 0;
  }

  #timeBetween(time: number): number {
    return time - this.#promptTime.until(time);
  }
}

/** In order of their first tokens: an engine computes prompts in the order in which they came. */
function promptsOf(requests: readonly ServedRequest[]): readonly Prompt[] {
  const sorted = requests.toSorted((left, right) => left.at + left.ttftMs - (right.at + right.ttftMs));
  let before = -Infinity;
  return sorted.map(({ at, ttftMs, uncachedTokens: tokens }) => {
    const to = at + ttftMs;
    const prompt = { from: Math.min(to, Math.max(at, before)), to, tokens, follows: at <= before };
    before = to;
    return prompt;
  });
}

interface Chain {
  from: number;
  to: number;
  tokens: number;
  /** Prompts that were alone at their beginning: only those wait for nothing but their own way there and back. */
  count: number;
  prompts: number;
}

function chainsOf(prompts: readonly Prompt[]): readonly Chain[] {
  const chains: Chain[] = [];
  let chain: Chain | undefined;
  for (const { from, to, tokens, follows } of prompts) {
    if (chain && follows && chain.prompts < MOST_CHAINED) {
      chain.to = to;
      chain.tokens += tokens;
      chain.prompts += 1;
      continue;
    }
    chain = { from, to, tokens, count: follows ? 0 : 1, prompts: 1 };
    chains.push(chain);
  }
  return chains;
}
