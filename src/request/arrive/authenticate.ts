import { timingSafeEqual } from 'node:crypto';
import { RouterError } from '../../base/errors.ts';
import { sha256Of } from '../../config/schema/client-key.ts';
import { presentsAdminKey } from '../../http/admin-key.ts';
import { presentedKey } from '../../http/client-key.ts';
import { protocolKey } from '../../http/protocol-key.ts';
import type { Opinion } from '../../limits/key-verdicts.ts';
import type { Tenant } from '../../limits/tenant.ts';
import type { Arrival } from './arrival.ts';
import { ANYBODY, callerOf, KEY_HOLDER, type Caller } from './caller.ts';
import { overLimit } from './over-limit.ts';
import type { Runtime } from '../runtime.ts';

/**
 * Finds out who calls, before a byte of the body is read, and counts the request among those of its tenant until it has
 * ended. Throws `missing_api_key`, `invalid_api_key`, `key_disabled`, `key_validation_unavailable`, and what a tenant's
 * limits refuse.
 */
export function authenticate(rt: Runtime, arrival: Arrival): Caller | Promise<Caller> {
  const { auth } = rt.settings.clients;
  if (auth.kind === 'open' || arrival.endpoint.open) return ANYBODY;
  const { rawHeaders } = arrival.req;
  const key = presentedKey(rawHeaders) ?? (arrival.tunnel ? protocolKey(rawHeaders) : undefined);
  const sha256 = key === undefined ? '' : sha256Of(key);
  const tenant = auth.kind === 'tenants' ? rt.clients.tenants.withKey(sha256) : undefined;
  if (tenant) return admitTenant(arrival, tenant);
  if (auth.kind === 'one_key' && key !== undefined && sameDigest(sha256, auth.sha256)) return KEY_HOLDER;
  // An operator is nobody's tenant.
  if (presentsAdminKey(rt.settings.adminApiKey, rawHeaders)) return KEY_HOLDER;
  if (key === undefined)
    throw new RouterError(
      'missing_api_key',
      'no API key was given: send it as Authorization: Bearer, X-Router-Key or x-api-key',
      { headers: CHALLENGE },
    );
  if (auth.kind !== 'remote' || !isSendable(key)) throw invalidKey();
  const opinion = rt.clients.verdicts.of(key, sha256);
  if (typeof opinion === 'string') return asCaller(opinion);
  return unlessGone(arrival, opinion).then(asCaller);
}

const CHALLENGE = ['www-authenticate', 'Bearer'] as const;

function invalidKey(): RouterError {
  return new RouterError('invalid_api_key', 'the API key is not valid', { headers: CHALLENGE });
}

function admitTenant(arrival: Arrival, tenant: Tenant): Caller {
  const { access, settings } = tenant;
  arrival.decision.tenant = access.name;
  if (!settings.enabled)
    throw new RouterError('key_disabled', 'the API key is disabled; ask the administrator of this service');
  arrival.tenant = tenant;
  const visit = tenant.enter();
  if (visit.kind === 'over_limit') throw overLimit(settings, visit);
  arrival.releases.push(visit.leave);
  return callerOf(access);
}

function sameDigest(left: string, right: string): boolean {
  return timingSafeEqual(Buffer.from(left, 'hex'), Buffer.from(right, 'hex'));
}

/** Whether it can stand in a header of the question; what cannot is no key. */
function isSendable(key: string): boolean {
  return /^[!-~]+$/.test(key);
}

function asCaller(opinion: Opinion): Caller {
  switch (opinion) {
    case 'accepted':
      return KEY_HOLDER;
    case 'refused':
      throw invalidKey();
    case 'unasked':
      throw new RouterError(
        'out_of_sockets',
        'the router may open no further connection to have the API key checked',
      );
    case 'unavailable':
      throw new RouterError(
        'key_validation_unavailable',
        'the API key cannot be checked at the moment; try again',
      );
  }
}

/** The question is shared: a client that leaves only stops waiting for the answer. */
function unlessGone(arrival: Arrival, opinion: Promise<Opinion>): Promise<Opinion> {
  return new Promise((resolve, reject) => {
    arrival.client.onGone(() => {
      reject(new RouterError('client_closed', 'the client left while its key was being checked'));
    });
    void opinion.then((known) => {
      arrival.client.onGone(undefined);
      resolve(known);
    });
  });
}
