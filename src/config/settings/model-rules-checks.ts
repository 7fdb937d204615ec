import type { CheckProblem } from '../schema/check-problem.ts';
import type { ModelRuleConfig } from '../schema/model-rules-schema.ts';

/** What the schema cannot say: rules against themselves and against each other. */
export function modelRuleChecks(rules: readonly ModelRuleConfig[]): {
  readonly problems: readonly CheckProblem[];
  readonly notices: readonly string[];
} {
  const problems: CheckProblem[] = [];
  const notices: string[] = [];
  const seen = new Map<string, number>();
  for (const [index, one] of rules.entries()) {
    const path = ['model_rules', index];
    problems.push(...shapeProblems(one, path));
    if (one.rewrite !== undefined && one.fallback !== undefined)
      notices.push(`model_rules[${index}]: rewrite and fallback are both given; rewrite counts`);
    // Those of the one kind say nothing against those of the other.
    const kind = one.external === undefined ? one.match : `\0${one.match}`;
    const first = seen.get(kind);
    if (first !== undefined) {
      const message = `expected every pattern once, got ${JSON.stringify(one.match)} again (as in model_rules[${first}])`;
      problems.push({ path: [...path, 'match'], message });
      continue;
    }
    seen.set(kind, index);
    const by = rules.findIndex((other, before) => before < index && hides(other, one));
    if (by >= 0)
      notices.push(
        `model_rules[${index}]: ${JSON.stringify(one.match)} is never reached, for model_rules[${by}] (${JSON.stringify(rules[by]?.match)}) decides before it`,
      );
  }
  return { problems, notices };
}

function shapeProblems(rule: ModelRuleConfig, path: readonly PropertyKey[]): CheckProblem[] {
  const { rewrite, fallback, split, external } = rule;
  if (external !== undefined) return externalShape(rule, path);
  for (const name of ['when', 'saturated_at'] as const)
    if (rule[name] !== undefined)
      return [{ path: [...path, name], message: 'expected external, which it belongs to' }];
  const given = [rewrite, fallback, split].filter((value) => value !== undefined).length;
  if (given === 1) return repeatedParts(split ?? [], path);
  if (given === 2 && split === undefined) return [];
  return [
    {
      path,
      message: `expected one of rewrite, fallback, split and external, got ${given === 0 ? 'none' : given}`,
    },
  ];
}

/** It says where requests go, not under which name. */
function externalShape(
  { rewrite, fallback, split, when, saturated_at: at }: ModelRuleConfig,
  path: readonly PropertyKey[],
): CheckProblem[] {
  if (rewrite !== undefined || fallback !== undefined || split !== undefined)
    return [
      { path, message: 'expected external in a rule of its own, beside the one that changes the name' },
    ];
  if (at === undefined || when === 'saturated') return [];
  return [{ path: [...path, 'saturated_at'], message: 'expected when: saturated, which it belongs to' }];
}

function repeatedParts(
  split: readonly { readonly model: string }[],
  path: readonly PropertyKey[],
): CheckProblem[] {
  return split.flatMap(({ model }, index) =>
    split.findIndex((other) => other.model === model) === index
      ? []
      : [
          {
            path: [...path, 'split', index, 'model'],
            message: `expected every model once, got ${JSON.stringify(model)} again`,
          },
        ],
  );
}

/** Whether no name gets past `earlier` to `later`. Only a rewrite always decides: the others may find no worker. */
function hides(earlier: ModelRuleConfig, later: ModelRuleConfig): boolean {
  if (later.external !== undefined)
    return earlier.external !== undefined && covers(earlier.match, later.match);
  return earlier.rewrite !== undefined && covers(earlier.match, later.match);
}

/** Whether whatever the one pattern matches is matched by the other. */
function covers(pattern: string, other: string): boolean {
  return pattern.endsWith('*') && other.startsWith(pattern.slice(0, -1));
}
