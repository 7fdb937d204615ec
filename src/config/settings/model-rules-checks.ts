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
    const first = seen.get(one.match);
    if (first !== undefined) {
      const message = `expected every pattern once, got ${JSON.stringify(one.match)} again (as in model_rules[${first}])`;
      problems.push({ path: [...path, 'match'], message });
      continue;
    }
    seen.set(one.match, index);
    const by = rules.findIndex((other, before) => before < index && hides(other, one));
    if (by >= 0)
      notices.push(
        `model_rules[${index}]: ${JSON.stringify(one.match)} is never reached, for model_rules[${by}] (${JSON.stringify(rules[by]?.match)}) decides before it`,
      );
  }
  return { problems, notices };
}

function shapeProblems(
  { rewrite, fallback, split }: ModelRuleConfig,
  path: readonly PropertyKey[],
): CheckProblem[] {
  const given = [rewrite, fallback, split].filter((value) => value !== undefined).length;
  if (given === 1) return repeatedParts(split ?? [], path);
  if (given === 2 && split === undefined) return [];
  return [
    { path, message: `expected one of rewrite, fallback and split, got ${given === 0 ? 'none' : given}` },
  ];
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
  if (earlier.rewrite === undefined || !earlier.match.endsWith('*')) return false;
  return later.match.startsWith(earlier.match.slice(0, -1));
}
