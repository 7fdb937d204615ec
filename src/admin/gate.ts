import { isIP } from 'node:net';
import { presentsAdminKey } from '../http/admin-key.ts';
import type { EdgeRequest } from '../http/edge-request.ts';
import { headerOf, joinedHeader } from '../http/headers.ts';

/** Who may use the worker and admin routes, and who asked. */
export type Verdict =
  | { readonly kind: 'admitted'; readonly who: 'admin_key' | 'loopback' }
  | { readonly kind: 'refused'; readonly code: 'UNAUTHORIZED' | 'FORBIDDEN'; readonly message: string };

/** Set by proxies: behind one on this machine every client would look like a local one. */
const FORWARDING_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];

/**
 * With an admin key: whoever brings it. Without one: only requests that plainly come from this machine, since a page
 * in a local browser or a proxy in front must not act for others.
 */
export function admit(adminKey: string | undefined, req: EdgeRequest): Verdict {
  if (adminKey !== undefined) {
    if (presentsAdminKey(adminKey, req.rawHeaders)) return { kind: 'admitted', who: 'admin_key' };
    return {
      kind: 'refused',
      code: 'UNAUTHORIZED',
      message: 'the admin key is needed: X-Admin-Key, or Authorization: Bearer',
    };
  }
  const objection = notLocal(req);
  if (objection === undefined) return { kind: 'admitted', who: 'loopback' };
  return {
    kind: 'refused',
    code: 'FORBIDDEN',
    message: `${objection}; set admin_api_key to use this from there`,
  };
}

function notLocal({ socket, rawHeaders }: EdgeRequest): string | undefined {
  if (!isLoopback(socket.remoteAddress)) return 'without an admin key only this machine is answered';
  const forwarded = FORWARDING_HEADERS.find((name) => headerOf(rawHeaders, name) !== undefined);
  if (forwarded !== undefined) return `the request came through a proxy (${forwarded})`;
  // A page whose name was made to resolve to this machine sends its own name as host.
  const host = headerOf(rawHeaders, 'host');
  if (!isLocalName(hostName(host))) return 'the Host header does not name this machine';
  const origin = joinedHeader(rawHeaders, 'origin');
  if (origin !== undefined && URL.parse(origin)?.host !== host)
    return 'the request comes from a web page of another origin';
  return undefined;
}

export function isLoopback(address: string | undefined): boolean {
  if (address === undefined || isIP(address) === 0) return false;
  return /^(::ffff:)?127\.|^::1$/.test(address);
}

function isLocalName(host: string | undefined): boolean {
  return host === 'localhost' || isLoopback(host);
}

/** Without port and brackets. A client of HTTP/1.0 sends none and is no browser. */
function hostName(host: string | undefined): string | undefined {
  if (host === undefined) return 'localhost';
  return URL.parse(`http://${host}`)?.hostname.replace(/^\[|\]$/g, '');
}
