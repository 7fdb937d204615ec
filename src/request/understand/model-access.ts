import { RouterError } from '../../base/errors.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Call, CallSource } from './read-call.ts';
import type { Runtime } from '../runtime.ts';

const LONGEST_SHOWN = 256;

/** Throws `model_not_allowed` and `response_not_found` for what is not the caller's to ask for. */
export function checkCall(
  rt: Runtime,
  { endpoint }: Pick<CallSource, 'endpoint'>,
  caller: Caller,
  { model, resourceId }: Call,
): void {
  if (caller.tenant === undefined) return;
  if (endpoint.resource !== 'by_id') checkAccess(rt, caller, model);
  if (resourceId === undefined) return;
  const owner = rt.owners.tenantOf(resourceId);
  if (owner === undefined || owner === caller.tenant.name) return;
  throw new RouterError('response_not_found', 'there is no such response');
}

/**
 * Throws `model_not_allowed` where the caller may not use the model. A request that names none (`''`) goes to whatever
 * worker is chosen: then everything that the workers list must be allowed.
 */
export function checkAccess(rt: Runtime, caller: Caller, model: string): void {
  if (!caller.tenant?.restricted) return;
  if (model !== '') {
    if (caller.mayUse(model)) return;
    throw new RouterError(
      'model_not_allowed',
      `The model ${JSON.stringify(model.slice(0, LONGEST_SHOWN))} is not allowed for this API key.`,
      { param: 'model' },
    );
  }
  const { models, workers } = rt.registry;
  const untold = workers.some(({ models: listed }) => listed.size === 0);
  if (models.size > 0 && !untold && [...models].every((one) => caller.mayUse(one))) return;
  throw new RouterError(
    'model_not_allowed',
    'The request names no model that the router can see, and not all models are allowed for this API key.',
    { param: 'model' },
  );
}
