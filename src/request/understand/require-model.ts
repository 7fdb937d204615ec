import { RouterError } from '../../base/errors.ts';
import type { Caller } from '../arrive/caller.ts';
import { nameModel, underModel } from './name-model.ts';
import type { Call, CallSource } from './read-call.ts';
import type { Runtime } from '../runtime.ts';

/**
 * To a gateway of many models a request must say which one it wants; where the caller may use only one, that is the
 * one, and the body is made to say so: what a worker would take it for could be another. Routes that have no model (a stored response, a path that is only passed on) are left alone. Throws
 * `model_required`.
 */
export function requireModel(rt: Runtime, source: CallSource, caller: Caller, call: Call): Call {
  const { endpoint } = source;
  if (!rt.settings.gateway || call.model !== '') return call;
  if (endpoint.class !== 'inference' || endpoint.body === 'opaque') return call;
  const [only, another] = usable(rt, caller);
  if (only === undefined || another !== undefined) {
    // What continues a stored response goes to the worker that has it.
    if (call.resourceId !== undefined) return call;
    throw new RouterError(
      'model_required',
      another === undefined
        ? 'The request names no model, and no worker has told its models yet.'
        : 'The request names no model: this router serves several. GET /v1/models lists them.',
      { param: 'model' },
    );
  }
  // Where it is the only one that there is, no worker can take the request for another.
  const named = rt.registry.models.size > 1 ? nameModel(rt, source, call, only) : undefined;
  return named ?? underModel(rt, source, call, only);
}

/** Whether a model can be told to be unknown, and is. As long as no worker has told its models, nothing can be said. */
export function isUnknownModel(rt: Runtime, model: string): boolean {
  const { registry, settings } = rt;
  if (model === '' || settings.unknownModel === 'pass') return false;
  return !registry.knows(model) && registry.models.size > 0;
}

/** At most two names that the caller may use. */
function usable(rt: Runtime, caller: Caller): readonly string[] {
  const names: string[] = [];
  for (const model of rt.registry.models) {
    if (caller.mayUse(model)) names.push(model);
    if (names.length === 2) break;
  }
  return names;
}
