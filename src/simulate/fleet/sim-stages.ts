import { PairChooser, type PairDecision } from '../../routing/pair-chooser.ts';
import type { Ask, Policy, PolicyEvent } from '../../routing/policy.ts';
import type { SplitRule } from '../../routing/split.ts';
import type { StageColumnsDeps } from '../../routing/stage-columns.ts';
import type { PoolView } from '../../workers/pool-view.ts';
import type { Worker } from '../../workers/worker.ts';
import { chosenOf, type ChosenWorker } from './chosen-worker.ts';

export interface StagePools {
  readonly prefill: PoolView;
  readonly decode: PoolView;
  readonly whole: PoolView;
}

export interface ChosenPair {
  readonly prefill: ChosenWorker;
  readonly decode: ChosenWorker;
  /** Tokens of the prompt that the decode engine is not expected to have. */
  readonly missingTokens: number;
}

export interface StageSettings {
  readonly split: SplitRule;
  /** Of a stage alone; undefined: the cost of pairs chooses. */
  readonly prefill: Policy | undefined;
  readonly decode: Policy | undefined;
}

/** How a simulated router decides what the server decides where there are prefill workers: by the server's own code. */
export class SimStages {
  readonly #settings: StageSettings;
  readonly #pairs: PairChooser;

  constructor(settings: StageSettings, deps: StageColumnsDeps) {
    this.#settings = settings;
    this.#pairs = new PairChooser(deps);
  }

  /** The pair that serves it; undefined: one worker is to do all of it. */
  choose(ask: Ask, pools: StagePools, mostTokens: number): ChosenPair | undefined {
    const { split: rule, prefill, decode } = this.#settings;
    if (rule.kind === 'never' || pools.prefill.eligible === 0 || pools.decode.eligible === 0)
      return undefined;
    const first = prefill && chosenOf(prefill, ask, pools.prefill);
    const second = decode && chosenOf(decode, ask, pools.decode);
    const decision = this.#pairs.choose(ask, {
      ...pools,
      ...{ rule, mostTokens, may: () => true },
      chosen: { prefill: first?.index, decode: second?.index },
    });
    return decision.split.split ? this.#pairOf(ask, pools, decision, { first, second }) : undefined;
  }

  #pairOf(
    ask: Ask,
    pools: StagePools,
    { pair }: PairDecision,
    {
      first,
      second,
    }: { readonly first: ChosenWorker | undefined; readonly second: ChosenWorker | undefined },
  ): ChosenPair | undefined {
    if (pair === undefined) return undefined;
    const prefill = first ?? chosenOf(pair.prefill, ask, pools.prefill);
    const decode = second ?? chosenOf(pair.decode, ask, pools.decode);
    if (prefill === undefined || decode === undefined) return undefined;
    const there = pair.decode.matchedTokens?.[decode.index] ?? 0;
    return { prefill, decode, missingTokens: Math.max(0, ask.blocks().totalTokens - there) };
  }

  observe(event: PolicyEvent, worker?: Worker): void {
    this.#pairs.observe(event);
    const { prefill, decode } = this.#settings;
    const role = worker?.traits.role;
    if (role !== 'decode') prefill?.observe?.(event);
    if (role !== 'prefill') decode?.observe?.(event);
  }

  /** The first token of a pair has come `ms` after the decode engine was asked. */
  fetched(from: Worker, to: Worker, tokens: number, ms: number): void {
    this.#pairs.fetched(from.slot, to.slot, tokens, ms / 1000);
  }

  answered(tokens: number): void {
    this.#pairs.answered(tokens);
  }
}
