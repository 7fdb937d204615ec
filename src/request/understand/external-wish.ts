import { RouterError } from '../../base/errors.ts';
import type { ExternalRule } from '../../config/settings/settings.ts';
import { headerOf } from '../../http/headers.ts';
import { HEADER_EXTERNAL } from '../answer/explain.ts';
import type { Caller } from '../arrive/caller.ts';
import { isOffered } from '../choose/external.ts';
import type { ExternalWish } from '../choose/outward.ts';
import type { Runtime } from '../runtime.ts';
import type { Call, CallSource } from './read-call.ts';

const LONGEST_SHOWN = 256;

/**
 * Whether the request may leave the fleet, and where to: what a rule says of the model that it goes under, or the mode of all.
 * Throws `route_not_found`, `external_not_allowed`, `no_worker_matches` and `invalid_request` where it can go nowhere else.
 */
export function externalWish(
  rt: Runtime,
  source: CallSource,
  caller: Caller,
  call: Call,
): ExternalWish | undefined {
  const wish = wishFor(rt, source, call);
  if (!wish) return undefined;
  const objection = objectionTo(rt, source, caller, call);
  if (!objection) return wish;
  // Where the fleet can serve it, it does; what nobody else has must say why.
  const isOthersOnly = wish.when === 'always' && !rt.registry.models.has(call.model);
  const isNobodys = !rt.registry.knows(call.model) && isOffered(rt, wish, call.model);
  if (rt.settings.externalOnly || isOthersOnly || isNobodys) throw objection;
  return undefined;
}

function wishFor(rt: Runtime, source: CallSource, call: Call): ExternalWish | undefined {
  const { endpoint, match } = source;
  const { externalOnly, modelRules } = rt.settings;
  const owner = ownerOutside(rt, call);
  if (owner !== undefined) return { rule: 'owner', chain: [owner], ...ALWAYS, overflows: false };
  if (externalOnly) {
    const isHeldBy = endpoint.resource === 'by_id';
    if (endpoint.external !== true || match.kind !== 'endpoint' || isHeldBy) throw notThere(endpoint.route);
    return { rule: undefined, chain: [], ...ALWAYS, overflows: false };
  }
  if (!modelRules || modelRules.external.length === 0 || endpoint.external !== true || call.model === '')
    return undefined;
  const rule = modelRules.external.find(({ match: pattern }) => matchesRule(pattern, call.model));
  return rule && { ...pick(rule), overflows: false };
}

const ALWAYS = { when: 'always', saturatedAt: Infinity } as const;

function pick({ match, chain, when, saturatedAt }: ExternalRule): Omit<ExternalWish, 'overflows'> {
  return { rule: match, chain, when, saturatedAt };
}

/** The provider that made the stored resource which the request reads or continues. */
function ownerOutside({ owners, registry }: Runtime, { resourceId }: Call): string | undefined {
  const id = resourceId === undefined ? undefined : owners.ownerOf(resourceId);
  return id === undefined ? undefined : registry.get(id)?.traits.external?.name;
}

export function matchesRule(pattern: string, model: string): boolean {
  return pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : pattern === model;
}

function objectionTo(
  { registry }: Runtime,
  { req }: CallSource,
  { tenant }: Caller,
  { model }: Call,
): RouterError | undefined {
  const asked = headerOf(req.rawHeaders, HEADER_EXTERNAL)?.trim().toLowerCase();
  const what = model === '' ? 'the request' : `the model ${JSON.stringify(model.slice(0, LONGEST_SHOWN))}`;
  if (asked !== undefined && asked !== 'never' && asked !== 'allow')
    throw new RouterError('invalid_request', `${HEADER_EXTERNAL}: expected never or allow`);
  const nobody = registry.knows(model) ? '' : ', and no worker of the fleet serves it';
  if (asked === 'never')
    return new RouterError(
      'no_worker_matches',
      `${HEADER_EXTERNAL}: never keeps ${what} in the fleet${nobody}`,
    );
  if (tenant === undefined || tenant.allowExternal) return undefined;
  return new RouterError(
    'external_not_allowed',
    `An external backend serves ${what}, which is not allowed for this API key (allow_external)${nobody}.`,
    { param: 'model' },
  );
}

function notThere(route: string): RouterError {
  return new RouterError('route_not_found', `external backends are not asked for ${route}: only vLLM has it`);
}
