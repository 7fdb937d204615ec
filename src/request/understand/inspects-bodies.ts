import type { Settings } from '../../config/settings/settings.ts';

/**
 * Whether something between client and worker goes by what a body says (rules, hooks, tenants). Then a form is held whole,
 * since its model may stand behind its file.
 */
export function inspectsBodies({ modelRules, hooks, clients }: Settings): boolean {
  return modelRules !== undefined || hooks.length > 0 || clients.auth.kind === 'tenants';
}

/**
 * Whether a body must name model and stream once only: what was judged and what the worker reads could be two things
 * otherwise. So it is, too, where keys are checked, whoever it is that goes by the body then.
 */
export function refusesDuplicates(settings: Settings): boolean {
  return settings.clients.auth.kind !== 'open' || inspectsBodies(settings);
}
