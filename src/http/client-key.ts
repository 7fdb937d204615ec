import { bearer } from './admin-key.ts';
import { headerOf, joinedHeader, type FlatHeaders } from './headers.ts';

/**
 * The key that a client presents: the bearer token of `Authorization`, else `X-Router-Key`, else `x-api-key`. Undefined
 * where there is none. The first that is there is the one that counts.
 */
export function presentedKey(headers: FlatHeaders): string | undefined {
  return (
    bearer(headerOf(headers, 'authorization')) ??
    filled(joinedHeader(headers, 'x-router-key')) ??
    filled(joinedHeader(headers, 'x-api-key'))
  );
}

function filled(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
