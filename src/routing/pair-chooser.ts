import { AnswerLengths } from './answer-lengths.ts';
import { ColdOrder } from './cold-order.ts';
import { needsOf } from './member-matches.ts';
import { PairCost, type PairChoice } from './pair-cost.ts';
import type { Ask, Choice, Policy, PolicyDeps, PolicyEvent, PolicyShare, Pool } from './policy.ts';
import { bestWhole, chooseSplit, type SplitChoice, type SplitRule } from './split.ts';
import { StageColumns, type StageColumnsDeps } from './stage-columns.ts';
import { TransferRates } from './transfer-rates.ts';
import type { CostAsk } from './worker-cost.ts';

export interface PairAsk {
  readonly prefill: Pool;
  readonly decode: Pool;
  /** Those that could do all of it. */
  readonly whole: Pool;
  /** Whom a stage's own policy has chosen, as index into its pool. */
  readonly chosen: { readonly prefill?: number | undefined; readonly decode?: number | undefined };
  readonly rule: SplitRule;
  /** Tokens that its answer may have at most; 0 = not known. */
  readonly mostTokens: number;
  /** Whether this pair can hand over now. */
  readonly may: (prefill: number, decode: number) => boolean;
}

export interface PairDecision {
  readonly split: SplitChoice;
  /** The best pair, whatever `split` says; undefined where there is none. */
  readonly pair:
    | {
        readonly prefill: Chosen;
        readonly decode: Chosen;
        /** Until its first token: what it delays others by is not in it. */
        readonly ttftSeconds: number;
      }
    | undefined;
}

type Chosen = Extract<Choice, { readonly kind: 'chosen' }>;

/** What a second that others are delayed is worth against one's own, as `least_work` has it by default. */
const THETA = 0.3;

/**
 * Chooses pairs rather than halves, by what the request costs through both (`PairCost`), and whether it goes through a pair at all
 * (`chooseSplit`). Where a stage has a policy of its own it completes the pair. What it learns of transfers and answers is this thread's.
 */
export class PairChooser {
  readonly name = 'pair_cost';
  readonly needs: Policy['needs'];
  readonly #prefill: StageColumns;
  readonly #decode: StageColumns;
  readonly #whole: StageColumns;
  readonly #cost = new PairCost();
  readonly #transfers = new TransferRates();
  readonly #answers = new AnswerLengths();
  readonly #turns: ColdOrder;

  constructor(deps: StageColumnsDeps & Pick<PolicyDeps, 'cache'> & { readonly share?: PolicyShare }) {
    this.needs = needsOf(deps.cache);
    this.#prefill = new StageColumns(deps);
    this.#decode = new StageColumns(deps);
    this.#whole = new StageColumns(deps);
    this.#turns = new ColdOrder(deps.share);
  }

  choose(ask: Ask, { prefill, decode, whole, chosen, rule, mostTokens, may }: PairAsk): PairDecision {
    const cost: CostAsk = {
      promptTokens: ask.blocks().totalTokens,
      answerTokens: this.#answers.expected(mostTokens),
      theta: THETA,
    };
    const [p, d] = [this.#prefill.look(ask, prefill), this.#decode.look(ask, decode)];
    const turns = this.#turns.column(Math.max(p.end, d.end));
    const pair = this.#cost.choosePair(cost, {
      ...{ prefill: p, decode: d, transfers: this.#transfers, chosen, may },
      ...{ prefillTurns: turns, decodeTurns: turns },
    });
    const alone = this.#whole.look(ask, whole).doubt(whole);
    const split = chooseSplit(rule, { pair, whole: bestWhole(cost, alone) });
    return { split, pair: pair && this.#chosen(pair) };
  }

  observe(event: PolicyEvent): void {
    this.#turns.observe(event);
    if (event.type === 'left') this.#transfers.forget(event.slot);
  }

  /** So many tokens of KV cache have come from one worker to another in that time. */
  fetched(from: number, to: number, tokens: number, seconds: number): void {
    this.#transfers.learn(from, to, tokens, seconds);
  }

  answered(tokens: number): void {
    this.#answers.learn(tokens);
  }

  #chosen(choice: PairChoice): NonNullable<PairDecision['pair']> {
    const { prefill, decode, prefillScores, decodeScores, parts } = choice;
    const of = (index: number, scores: Float64Array, { matches }: StageColumns): Chosen => ({
      ...{ kind: 'chosen', index, reason: 'pair_cost', scores },
      ...{ matchedTokens: matches.tokens, knowledge: matches.knowledge },
    });
    return {
      prefill: of(prefill, prefillScores, this.#prefill),
      decode: of(decode, decodeScores, this.#decode),
      ttftSeconds: parts.prefill + parts.transfer + parts.wait,
    };
  }
}
