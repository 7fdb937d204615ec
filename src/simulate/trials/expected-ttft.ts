import { uncachedTokens } from '../../routing/uncached.ts';
import type { Ask, Choice, PolicyEvent, Pool } from '../../routing/policy.ts';
import { Baseline, type BaselineDeps } from '../baselines/baseline.ts';
import { lowest } from '../baselines/lowest.ts';
import { FirstTokenModel, type FirstTokenSample } from './first-token-model.ts';

/**
 * The earliest first token by a model learnt per worker: `wait + a * U + b * U * L + c * B + d`, with U the uncached
 * tokens, L the prompt's length, B the running requests and `wait` the tokens ahead times a. `theta` adds what
 * `least_work` adds for the delay of others; 0 leaves it out.
 */
export class ExpectedTtft extends Baseline {
  readonly name: string;
  readonly #theta: number;
  readonly #model = new FirstTokenModel();
  /** What was assumed of requests that wait for their first token. */
  readonly #assumed = new WeakMap<Ask, FirstTokenSample>();

  constructor(name: string, theta: number, deps: BaselineDeps) {
    super(deps);
    this.name = name;
    this.#theta = theta;
    deps.onFirstToken((ask, slot, ttftMs) => {
      const sample = this.#assumed.get(ask);
      if (sample) this.#model.learn(slot, sample, ttftMs);
    });
  }

  choose(ask: Ask, pool: Pool): Choice {
    const { loads, random } = this.deps;
    const { totalTokens } = ask.blocks();
    const matchedTokens = this.matched(ask, pool);
    const samples: FirstTokenSample[] = [];
    const choice = lowest(
      pool,
      (slot, index) => {
        const uncached = uncachedTokens(totalTokens, matchedTokens[index] ?? 0);
        const running = loads.running(slot) * pool.ramp(index);
        const sample = {
          tokens: loads.prefillTokens(slot) * pool.ramp(index) + uncached,
          tokensTimesLength: uncached * totalTokens,
          running,
        };
        samples[index] = sample;
        const others = this.#theta * uncached * running * this.#model.secsPerToken(slot);
        return this.#model.predictSecs(slot, sample) + others;
      },
      'expected_ttft',
      { random, matchedTokens },
    );
    const sample = choice.kind === 'chosen' ? samples[choice.index] : undefined;
    if (sample) this.#assumed.set(ask, sample);
    return choice;
  }

  override observe(event: PolicyEvent): void {
    if (event.type === 'left') this.#model.forget(event.slot);
  }
}
