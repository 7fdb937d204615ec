import type { Settings } from '../config/settings.ts';

/**
 * Whether something between client and worker goes by what a body says (rules, hooks, tenants). Then a body must say it once, or
 * what was judged and what the worker reads could be two things, and a form is held whole, since its model may stand
 * behind its file.
 */
export function inspectsBodies({ modelRules, hooks, clients }: Settings): boolean {
  return modelRules !== undefined || hooks.length > 0 || clients.auth.kind === 'tenants';
}
