import { CACHE_ROUTES } from './cache-routes.ts';
import { DRAIN_ROUTES } from './drain-routes.ts';
import { FLEET_ROUTES } from './fleet-routes.ts';
import { INSPECT_ROUTES } from './inspect-routes.ts';
import { OLDER_WORKER_ROUTES } from './older-worker-routes.ts';
import { describeApi } from './openapi.ts';
import { POLICY_ROUTES } from './policy-routes.ts';
import { RELOAD_ROUTES } from './reload-routes.ts';
import { route, type AdminRoute } from './route.ts';
import { TENANT_ROUTES } from './tenant-routes.ts';
import { WORKER_ROUTES } from './worker-routes.ts';

function description(path: string): AdminRoute {
  return route({
    method: 'GET',
    path,
    about: 'This description.',
    answers: { 200: { about: 'OpenAPI 3.1.' } },
    handle: ({ localRoutes }) => ({ status: 200, json: describeApi(ADMIN_ROUTES, localRoutes) }),
  });
}

/** Every worker and admin route there is. */
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  ...WORKER_ROUTES,
  ...OLDER_WORKER_ROUTES,
  ...FLEET_ROUTES,
  ...DRAIN_ROUTES,
  ...INSPECT_ROUTES,
  ...POLICY_ROUTES,
  ...TENANT_ROUTES,
  ...CACHE_ROUTES,
  ...RELOAD_ROUTES,
  description('/openapi.json'),
  description('/admin/openapi.json'),
];
