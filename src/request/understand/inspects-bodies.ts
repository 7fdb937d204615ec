import type { Settings } from '../../config/settings/settings.ts';
import type { Runtime } from '../runtime.ts';

/**
 * Whether something between client and worker goes by what a body says (rules, hooks, tenants). Then a form is held whole,
 * since its model may stand behind its file.
 */
export function inspectsBodies({ modelRules, hooks, clients }: Settings): boolean {
  return modelRules !== undefined || hooks.length > 0 || clients.auth.kind === 'tenants';
}

/**
 * Whether a body must be understood, and in one way only: what was judged and what a worker reads could be two things
 * otherwise, and where workers hand KV blocks over, from where and to whom is not a client's to say. Elsewhere what cannot be read is the
 * worker's to judge: it knows more than the router needs to.
 */
export function mustUnderstand(rt: Runtime): boolean {
  const { settings, registry } = rt;
  // What a provider is sent is made from what was read.
  if (inspectsBodies(settings) || registry.handsOver || settings.externalOnly) return true;
  return settings.gateway && registry.models.size !== 1;
}
