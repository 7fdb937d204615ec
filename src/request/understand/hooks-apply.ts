import { presentsAdminKey } from '../../http/admin-key.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Runtime } from '../runtime.ts';

/**
 * Whether hooks look at a request: at every one that could carry a prompt, whatever its route, since a check that
 * another route gets around is none. Only who presents the admin key may pass by them, on operator routes.
 */
export function hooksApply(rt: Runtime, arrival: Arrival): boolean {
  if (rt.settings.hooks.length === 0) return false;
  return (
    arrival.endpoint.class !== 'operator' ||
    !presentsAdminKey(rt.settings.adminApiKey, arrival.req.rawHeaders)
  );
}
