import { RouterError } from '../base/errors.ts';
import type { Caller } from './caller.ts';
import type { Call, CallSource } from './read-call.ts';
import type { Runtime } from './runtime.ts';

/**
 * The request as it goes on: under the model that it is served by. A model that no worker lists goes to all of them (a
 * name may be served unlisted), unless configured otherwise.
 */
export function resolveModel(rt: Runtime, source: CallSource, caller: Caller, call: Call): Call {
  void source;
  void caller;
  if (call.model === '' || rt.settings.unknownModel === 'pass') return call;
  if (rt.registry.membersFor(call.model).listed) return call;
  throw new RouterError(
    'model_not_found',
    `The model ${JSON.stringify(call.model.slice(0, 256))} does not exist.`,
  );
}
