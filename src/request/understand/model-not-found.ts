import { RouterError } from '../../base/errors.ts';
import { aliasesFor } from './aliases.ts';
import type { Caller } from '../arrive/caller.ts';
import { nearestName } from './nearest-name.ts';
import type { Runtime } from '../runtime.ts';

const LONGEST_SHOWN = 256;

/** The 404 for a model that nobody serves. It suggests no name that the caller may not use. */
export function modelNotFound(rt: Runtime, caller: Caller, model: string): RouterError {
  const names = [...rt.registry.models, ...aliasesFor(rt, caller).keys()];
  const near = nearestName(model, names, (name) => caller.mayUse(name));
  const hint = near === undefined ? '' : ` Did you mean ${JSON.stringify(near)}?`;
  return new RouterError(
    'model_not_found',
    `The model ${JSON.stringify(model.slice(0, LONGEST_SHOWN))} does not exist.${hint}`,
    { param: 'model' },
  );
}
