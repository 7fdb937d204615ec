import { applyRules } from './apply-rules.ts';
import type { Caller } from '../arrive/caller.ts';
import { checkAccess, checkCall } from './model-access.ts';
import { isOffered, knowsItsModels } from '../choose/external.ts';
import { externalWish } from './external-wish.ts';
import { modelNotFound } from './model-not-found.ts';
import type { Call, CallSource } from './read-call.ts';
import { isUnknownModel, requireModel } from './require-model.ts';
import type { Runtime } from '../runtime.ts';

/**
 * The request as it goes on: under the model that it is served by. A model that no worker lists goes to all of them (a
 * name may be served unlisted), unless configured otherwise.
 */
export function resolveModel(rt: Runtime, source: CallSource, caller: Caller, call: Call): Call {
  const asked = requireModel(rt, source, caller, call);
  checkCall(rt, source, caller, asked);
  const { modelRules } = rt.settings;
  const resolved = modelRules && call.model !== '' ? applyRules(rt, source, asked, modelRules) : asked;
  if (resolved.model !== asked.model) checkAccess(rt, caller, resolved.model);
  return served(rt, source, caller, { call: resolved, name: asked.model });
}

/** The same for a request whose body a hook has replaced: rules are about what clients ask for. */
export function resolveReplaced(rt: Runtime, source: CallSource, caller: Caller, call: Call): Call {
  const asked = requireModel(rt, source, caller, call);
  checkCall(rt, source, caller, asked);
  return served(rt, source, caller, { call: asked, name: asked.model });
}

/** `name` is what the client calls the model: it cannot know of another. */
function served(
  rt: Runtime,
  source: CallSource,
  caller: Caller,
  { call, name }: { readonly call: Call; readonly name: string },
): Call {
  const external = externalWish(rt, source, caller, call);
  if (external && isOffered(rt, external, call.model)) return { ...call, external };
  if (isUnknownModel(rt, call.model) || (external && knowsItsModels(rt, external)))
    throw modelNotFound(rt, caller, name);
  return external ? { ...call, external } : call;
}
