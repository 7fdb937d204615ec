import { hash53 } from '../base/hash.ts';
import type { Random } from '../base/random.ts';
import type { ModelRule, ModelRuleSettings, ModelTarget } from '../config/settings/settings.ts';

/** What deciding depends on beside the rules. */
export interface ModelRuleFacts {
  /** Whether a worker that can take a request now is registered under exactly this name. */
  isServed(model: string): boolean;
  /** What keeps a conversation together, where the request says it; asked only for a split. */
  sessionKey(): string | undefined;
  readonly random: Random;
}

export interface ModelRuleOutcome {
  /** The model that serves the request: the asked one where no rule decided. */
  readonly model: string;
  /** Pattern of the rule that decided. */
  readonly rule: string | undefined;
  /** Pattern of the last rule that matched but had no worker for any of its models. */
  readonly missed: string | undefined;
}

/**
 * The model behind the name that a client asks for. Rules are tried in the order of the file; the first that matches
 * and has a model to offer decides. What it leads to is not matched again. When a fallback or a split has no worker for
 * any of its models, the next rule that matches is tried, and at the end the name passes unchanged.
 */
export function applyModelRules(
  rules: ModelRuleSettings,
  asked: string,
  facts: ModelRuleFacts,
): ModelRuleOutcome {
  let missed: string | undefined;
  for (let index = nextRule(rules, asked, -1); index >= 0; index = nextRule(rules, asked, index)) {
    const rule = rules.rules[index];
    const model = rule && targetOf(rule, facts);
    if (model !== undefined) return { model, rule: rule?.match, missed };
    missed = rule?.match;
  }
  return { model: asked, rule: undefined, missed };
}

/** Place of the first rule behind `after` that matches, or -1. */
function nextRule({ exact, wildcards }: ModelRuleSettings, asked: string, after: number): number {
  const named = exact.get(asked) ?? -1;
  const wildcard = wildcards.find(({ prefix, index }) => index > after && asked.startsWith(prefix));
  if (named <= after) return wildcard?.index ?? -1;
  return wildcard === undefined ? named : Math.min(named, wildcard.index);
}

function targetOf({ kind, match, targets }: ModelRule, facts: ModelRuleFacts): string | undefined {
  switch (kind) {
    case 'rewrite':
      return targets[0]?.model;
    case 'fallback':
      return targets.find(({ model }) => facts.isServed(model))?.model;
    case 'split':
      return weighted(match, targets, facts);
  }
}

/**
 * Weighted rendezvous: every served target draws a number from the session (or by chance) and its weight, and the
 * highest one wins. So a session keeps its model, and moves only when that one is not served any more or a weight
 * changes, and then only as many sessions move as must.
 */
function weighted(match: string, targets: readonly ModelTarget[], facts: ModelRuleFacts): string | undefined {
  const key = facts.sessionKey();
  let best: string | undefined;
  let bestScore = -Infinity;
  for (const { model, weight } of targets) {
    if (!facts.isServed(model)) continue;
    const draw = key === undefined ? facts.random() : hash53(`${match}\n${model}\n${key}`) / TWO_53;
    const score = Math.log(Math.max(draw, Number.MIN_VALUE)) / weight;
    if (score <= bestScore) continue;
    best = model;
    bestScore = score;
  }
  return best;
}

const TWO_53 = 2 ** 53;
