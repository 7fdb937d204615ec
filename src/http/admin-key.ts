import { createHash, timingSafeEqual } from 'node:crypto';
import { headerOf, joinedHeader, type FlatHeaders } from './headers.ts';

/** Whether a request brings the admin key, in `X-Admin-Key` or as the bearer token. Never without a configured key. */
export function presentsAdminKey(expected: string | undefined, headers: FlatHeaders): boolean {
  if (expected === undefined) return false;
  const given = joinedHeader(headers, 'x-admin-key');
  return (given !== undefined && sameSecret(given, expected)) || isAdminBearer(expected, headers);
}

/** Whether `Authorization` holds the admin key: then it is for the router, and no worker may see it. */
export function isAdminBearer(expected: string | undefined, headers: FlatHeaders): boolean {
  const given = bearer(headerOf(headers, 'authorization'));
  return expected !== undefined && given !== undefined && sameSecret(given, expected);
}

/** The token of `Authorization: Bearer`, if there is one. */
export function bearer(authorization: string | undefined): string | undefined {
  return /^bearer (.+)$/i.exec(authorization ?? '')?.[1]?.trim();
}

/** In a time that tells nothing about where the two differ. */
function sameSecret(given: string, expected: string): boolean {
  const digest = (value: string): Buffer => createHash('sha256').update(value).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
