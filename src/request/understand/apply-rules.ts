import { replaceFormField } from '../../api/form-field.ts';
import { replaceMember } from '../../api/json-edit.ts';
import type { ModelRuleSettings } from '../../config/settings/settings.ts';
import { headerOf } from '../../http/headers.ts';
import { applyModelRules } from '../../routing/model-rules.ts';
import { isAvailable } from '../../workers/pool-view.ts';
import type { Call, CallSource } from './read-call.ts';
import { replaceBody } from './replace-body.ts';
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
  return model === call.model ? call : rename(rt, source, call, model);
}

/** The same request for another model. Throws `inflight_bytes_exceeded`. */
function rename(rt: Runtime, source: CallSource, call: Call, model: string): Call {
  if (!Buffer.isBuffer(call.body)) return call;
  const bytes = renamed(source, call.body, model);
  if (!bytes) return call;
  source.decision.model = model;
  return {
    ...call,
    ...replaceBody(rt, source, call, bytes),
    model,
    policy: rt.policies.policyFor(model),
    ask: call.ask.under(model),
  };
}

function renamed({ endpoint, req }: CallSource, body: Buffer, model: string): Buffer | undefined {
  if (endpoint.body === 'json') return replaceMember(body, 'model', model);
  return replaceFormField(body, headerOf(req.rawHeaders, 'content-type') ?? '', 'model', model);
}

/** Whether a worker that lists this very name can take a request now. */
function isServed(rt: Runtime, model: string): boolean {
  const pool = rt.registry.membersFor(model);
  if (!pool.listed) return false;
  const now = rt.clock.now();
  return pool.members.some((worker) => isAvailable(worker, now));
}
