import * as z from 'zod';
import { NO_PLUGINS } from '../../config/schema/plugin-policy-schema.ts';
import { policySchema } from '../../config/schema/policy-schema.ts';
import { policySettings } from '../../config/settings/policy-settings.ts';
import { knownOptions } from '../../request/choose/policy-caches.ts';
import { didYouMean, nearest } from '../../base/suggest.ts';
import { createPolicy, POLICIES } from '../../routing/policies/index.ts';
import { BASELINES } from '../baselines/index.ts';
import { TRIALS } from '../trials/index.ts';
import type { Contender } from '../fleet/experiment.ts';
import type { SplitRule } from '../../routing/split.ts';
import type { PairPlan } from '../fleet/fleet-plan.ts';
import { hasPairs, type SimulateOptions } from './options.ts';

const FORMULAS = { ...BASELINES, ...TRIALS };
const FORMULA_NAMES = Object.keys(FORMULAS) as (keyof typeof FORMULAS)[];
const BASELINE_NAMES = Object.keys(BASELINES);
const DEFAULTS = { loadCheckIntervalMs: 5000, cacheKnowledge: 'auto' } as const;
const POLICY_NAMES = Object.keys(POLICIES);
const EVERY_NAME = [...POLICY_NAMES, ...BASELINE_NAMES];

/** Not a policy but what chooses both halves of a request where none is named. */
export const PAIR_COST = 'pair_cost';
/** What serves whole requests then. */
const WITHOUT_NAME = 'least_work';

type PairOptions = Pick<SimulateOptions, 'splits' | 'prefill' | 'decode' | 'prefillPolicy' | 'decodePolicy'>;

/** Everything that is compared: `--policies`, and each of them with every rule of `--split`; or what is wrong with it. */
export function contendersOf(options: SimulateOptions): readonly Contender[] | string {
  if (!hasPairs(options)) return parseContenders(options.policies);
  const ofPairs = options.policies.includes(PAIR_COST);
  const named = parseContenders(options.policies.filter((name) => name !== PAIR_COST));
  if (typeof named === 'string') return named;
  const contenders: Contender[] = [];
  for (const split of options.splits) {
    const stages = stagesOf(options);
    if (typeof stages === 'string') return stages;
    const rule: SplitRule =
      typeof split === 'number' ? { kind: 'threshold', tokens: split } : { kind: split };
    const name = (policy: string): string =>
      options.splits.length > 1 ? `${policy} ${String(split)}` : policy;
    const whole = parseContender(WITHOUT_NAME);
    if (typeof whole === 'string') return whole;
    if (ofPairs)
      contenders.push({ name: name(PAIR_COST), policy: whole.policy, pairs: { split: rule, ...stages } });
    for (const one of named)
      contenders.push({
        ...{ name: name(one.name), policy: one.policy },
        pairs: {
          split: rule,
          prefillPolicy: stages.prefillPolicy ?? one.policy,
          decodePolicy: stages.decodePolicy ?? one.policy,
        },
      });
  }
  return contenders;
}

function stagesOf(options: PairOptions): Omit<PairPlan, 'split'> | string {
  const [prefill, decode] = [options.prefillPolicy, options.decodePolicy].map((name) =>
    name === undefined || name === PAIR_COST ? undefined : parseContender(name),
  );
  if (typeof prefill === 'string') return prefill;
  if (typeof decode === 'string') return decode;
  return { prefillPolicy: prefill?.policy, decodePolicy: decode?.policy };
}

/** What `--policies` names, in its order, each once; or what is wrong with it. */
export function parseContenders(names: readonly string[]): readonly Contender[] | string {
  const wanted = names.flatMap((name) => {
    if (name === 'baselines') return BASELINE_NAMES;
    return name === 'all' ? EVERY_NAME : [name];
  });
  const contenders: Contender[] = [];
  for (const name of new Set(wanted)) {
    const contender = parseContender(name);
    if (typeof contender === 'string') return contender;
    contenders.push(contender);
  }
  return contenders;
}

function parseContender(text: string): Contender | string {
  const [name = '', ...rest] = text.split(':');
  const parameters = rest.join(':');
  const formula = FORMULA_NAMES.find((known) => known === name);
  if (formula !== undefined) {
    if (parameters !== '') return `${name} is a fixed formula and has no parameters`;
    return { name: text, policy: (deps) => FORMULAS[formula](deps) };
  }
  if (!POLICY_NAMES.includes(name)) return `unknown policy ${name}${didYouMean(nearest(name, EVERY_NAME))}`;
  const parsed = policySchema.safeParse({ type: name, ...parametersOf(parameters) });
  if (!parsed.success) return `${text}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`;
  const settings = policySettings(parsed.data, DEFAULTS, NO_PLUGINS);
  const known = knownOptions(settings);
  return { name: text, policy: (deps) => createPolicy(settings, { ...deps, cache: deps.cacheFor(known) }) };
}

/** `theta=0.5;load_bound=1.25`: numbers where they look like numbers. */
function parametersOf(text: string): Record<string, string | number> {
  const pairs = text
    .split(';')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [key = '', value = ''] = pair.split(/=(.*)/s);
      return [key, value !== '' && !Number.isNaN(Number(value)) ? Number(value) : value] as const;
    });
  return Object.fromEntries(pairs);
}
