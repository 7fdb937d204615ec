import { RouterError } from '../../base/errors.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Call, CallSource } from './read-call.ts';
import type { Runtime } from '../runtime.ts';

const LONGEST_SHOWN = 256;

/** Throws `model_not_allowed`, `response_not_found` and `invalid_request` for what is not the caller's to ask for. */
export function checkCall(
  rt: Runtime,
  { endpoint }: Pick<CallSource, 'endpoint'>,
  caller: Caller,
  { model, resourceId, chosenId }: Call,
): void {
  const { tenant } = caller;
  if (tenant === undefined) return;
  if (endpoint.resource !== 'by_id') checkAccess(rt, caller, model);
  const isAnothers = (id: string | undefined): boolean => {
    const owner = id === undefined ? undefined : rt.owners.tenantOf(id);
    return owner !== undefined && owner !== tenant.name;
  };
  if (isAnothers(resourceId)) throw new RouterError('response_not_found', 'there is no such response');
  // It would take the place of the other one on the worker.
  if (isAnothers(chosenId))
    throw new RouterError('invalid_request', 'this request_id is taken', { param: 'request_id' });
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
  const { models, fleet: workers } = rt.registry;
  const untold = workers.some(({ models: listed }) => listed.size === 0);
  if (models.size > 0 && !untold && [...models].every((one) => caller.mayUse(one))) return;
  throw new RouterError(
    'model_not_allowed',
    'The request names no model that the router can see, and not all models are allowed for this API key.',
    { param: 'model' },
  );
}
