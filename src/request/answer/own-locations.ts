import { headerOf } from '../../http/headers.ts';
import type { Roster } from '../../workers/roster.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Head } from '../send/attempt.ts';

const LOCATIONS: ReadonlySet<string> = new Set(['location', 'content-location']);

/**
 * The head of a worker's answer, with a `Location` that names a worker made path-absolute: the client is to come back here,
 * past keys, policy and retries it could not go anyway. Locations elsewhere stay.
 */
export function ownLocations(registry: Roster, head: Head, worker: Worker): Head {
  const { headers } = head;
  // Nearly every answer has none.
  if (headerOf(headers, 'location') === undefined && headerOf(headers, 'content-location') === undefined)
    return head;
  const own = headers.map((value, index) =>
    index % 2 === 1 && LOCATIONS.has(headers[index - 1]?.toLowerCase() ?? '')
      ? ownLocation(registry, value, worker)
      : value,
  );
  return { ...head, headers: own };
}

function ownLocation(registry: Roster, location: string, worker: Worker): string {
  const { prefix } = addressOf(worker);
  const absolute = location.length <= LONGEST_LOCATION ? ABSOLUTE.exec(location) : null;
  if (!absolute)
    return underPrefix(location, prefix) ? pathAbsolute(location.slice(prefix.length)) : location;
  const [, scheme = 'http', given = '', path = ''] = absolute;
  const authority = plainAuthority(scheme, given);
  if (authority === undefined) return location;
  const prefixes = prefixesAt(registry, authority);
  if (prefixes.length === 0) return location;
  // The worker that answered first: it knows best what it means.
  const first = prefixes.includes(prefix) ? [prefix, ...prefixes] : prefixes;
  const named = first.find((one) => underPrefix(path, one)) ?? '';
  return pathAbsolute(path.slice(named.length));
}

/** Two slashes at its beginning would name a host. */
function pathAbsolute(path: string): string {
  return `/${path.replace(LEADING_SLASHES, '')}`;
}

const LEADING_SLASHES = /^[/\\]+/;
const LONGEST_LOCATION = 16 * 1024;
/** The scheme may be left out: `//worker/path`. */
const ABSOLUTE = /^(?:(https?):)?\/\/([^/?#\\]*)(.*)$/is;

/** Whether a path is the prefix or stands below it; not for no prefix. */
function underPrefix(path: string, prefix: string): boolean {
  if (prefix === '' || !path.startsWith(prefix)) return false;
  const next = path[prefix.length];
  return next === undefined || next === '/' || next === '?' || next === '#';
}

/** The path prefixes of the workers at an authority, the longest first; empty when there is no worker there. */
function prefixesAt(registry: Roster, authority: string): string[] {
  const prefixes = new Set<string>();
  for (const worker of registry.workers) {
    const address = addressOf(worker);
    if (address.authority === authority) prefixes.add(address.prefix);
  }
  return [...prefixes].sort((left, right) => right.length - left.length);
}

interface Address {
  readonly authority: string | undefined;
  readonly prefix: string;
}

const addresses = new WeakMap<Worker, Address>();

function addressOf(worker: Worker): Address {
  let address = addresses.get(worker);
  if (!address) addresses.set(worker, (address = readAddress(worker.spec.baseUrl)));
  return address;
}

function readAddress(baseUrl: string): Address {
  // What such a worker is told in `Host`.
  if (!/^https?:/i.test(baseUrl)) return { authority: 'localhost', prefix: '' };
  const { protocol, host, pathname } = new URL(baseUrl);
  return {
    authority: plainAuthority(protocol.slice(0, -1), host),
    prefix: pathname === '/' ? '' : pathname,
  };
}

/** Host in its plain spelling, and the port unless it is the scheme's own; undefined for what is no authority. */
function plainAuthority(scheme: string, authority: string): string | undefined {
  const url = `${scheme}://${authority}/`;
  return URL.canParse(url) ? new URL(url).host : undefined;
}
