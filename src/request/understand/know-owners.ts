import type { Caller } from '../arrive/caller.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from './read-call.ts';

/**
 * Asks whose the stored resources are that the request names, where this thread does not know and another one may. Only for those
 * that are read or continued, and for ids that a tenant chooses: nobody else's access depends on it.
 */
export function knowOwners(
  { owners }: Pick<Runtime, 'owners'>,
  { tenant }: Caller,
  { resourceId, chosenId }: Pick<Call, 'resourceId' | 'chosenId'>,
): Promise<unknown> | undefined {
  const resource = resourceId === undefined ? undefined : owners.lookUp(resourceId);
  const chosen = chosenId === undefined || tenant === undefined ? undefined : owners.lookUp(chosenId);
  return resource && chosen ? Promise.all([resource, chosen]) : (resource ?? chosen);
}
