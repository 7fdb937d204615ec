import type { ModelRuleConfig } from '../schema/model-rules-schema.ts';
import { SATURATED_AT } from './external-settings.ts';
import type { ExternalRule, ModelRule, ModelRuleSettings } from './settings.ts';

/** Undefined where there are no rules: then nothing is asked of them. */
export function modelRuleSettings(rules: readonly ModelRuleConfig[]): ModelRuleSettings | undefined {
  if (rules.length === 0) return undefined;
  const compiled = rules.filter(({ external }) => external === undefined).map(compile);
  const exact = new Map<string, number>();
  const wildcards: { prefix: string; index: number }[] = [];
  for (const [index, { match }] of compiled.entries()) {
    if (match.endsWith('*')) wildcards.push({ prefix: match.slice(0, -1), index });
    else exact.set(match, index);
  }
  const targets = new Set(compiled.flatMap(({ targets }) => targets.map(({ model }) => model)));
  return { rules: compiled, exact, wildcards, targets, external: rules.flatMap(externalRule) };
}

function externalRule({ match, external, when, saturated_at: at }: ModelRuleConfig): ExternalRule[] {
  if (external === undefined) return [];
  const chain = typeof external === 'string' ? [external] : external;
  return [{ match, chain, when: when ?? 'unavailable', saturatedAt: at ?? SATURATED_AT }];
}

function compile({ match, rewrite, fallback, split }: ModelRuleConfig): ModelRule {
  // Where both are given, the reference takes the rewrite.
  if (rewrite !== undefined) return { kind: 'rewrite', match, targets: [{ model: rewrite, weight: 1 }] };
  if (fallback) return { kind: 'fallback', match, targets: fallback.map((model) => ({ model, weight: 1 })) };
  return { kind: 'split', match, targets: split ?? [] };
}
