import { RouterError } from '../base/errors.ts';
import type { Call } from './read-call.ts';
import type { Runtime } from './runtime.ts';

/** A model that no worker lists goes to all of them (a name may be served unlisted), unless configured otherwise. */
export function resolveModel(rt: Runtime, call: Call): void {
  if (call.model === '' || rt.settings.unknownModel === 'pass') return;
  if (rt.registry.membersFor(call.model).listed) return;
  throw new RouterError(
    'model_not_found',
    `The model ${JSON.stringify(call.model.slice(0, 256))} does not exist.`,
  );
}
