import type { ModelRuleSettings } from '../../config/settings/settings.ts';
import { applyModelRules } from '../../routing/model-rules.ts';
import { isAvailable } from '../../workers/pool-view.ts';
import { nameModel } from './name-model.ts';
import type { Call, CallSource } from './read-call.ts';
import type { Runtime } from '../runtime.ts';

/** The request under the model that the rules lead to: its body names that model, and nothing else of it changes. */
export function applyRules(rt: Runtime, source: CallSource, call: Call, rules: ModelRuleSettings): Call {
  const { model, rule, missed } = applyModelRules(rules, call.model, {
    isServed: (name) => isServed(rt, name),
    sessionKey: () => call.ask.sessionKey(),
    random: rt.random,
  });
  if (rule !== undefined) source.decision.rule = rule;
  if (missed !== undefined) source.decision.rule_missed = missed;
  return model === call.model ? call : (nameModel(rt, source, call, model) ?? call);
}

/** Whether a worker that lists this very name can take a request now. */
function isServed(rt: Runtime, model: string): boolean {
  const pool = rt.registry.membersFor(model);
  if (!pool.listed) return false;
  const now = rt.clock.now();
  return pool.members.some((worker) => isAvailable(worker, now));
}
