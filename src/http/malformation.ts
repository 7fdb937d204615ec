import type { IncomingMessage } from 'node:http';

/** What is wrong with a request that Node's parser has let pass; undefined where nothing is. */
export function malformation(req: IncomingMessage): string | undefined {
  if (!isSoundlyFramed(req)) return 'a body ends by its length or by chunking, and by nothing else';
  if (!isSoundTarget(req.url ?? '')) return 'the target must be a path, or an http or https URL';
  return isSoundlyAddressed(req) ? undefined : 'exactly one Host header is needed, with the name of a host';
}

/**
 * Whether every hop sees the same end of the body. Node has refused conflicting and repeated lengths; codings other
 * than chunked would be lost on the way, and HTTP/1.0 knows none (RFC 9112 6.1).
 */
function isSoundlyFramed({ headers, httpVersion }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  return coding === undefined || (coding.toLowerCase() === 'chunked' && httpVersion !== '1.0');
}

/** `OPTIONS *` asks for a server as a whole, which is no worker's to answer; other schemes are for other proxies. */
function isSoundTarget(target: string): boolean {
  return target.startsWith('/') || /^https?:\/\/[^/?#]/i.test(target);
}

/** A name or an address, and perhaps a port (RFC 9110 7.2); an empty one is allowed. */
const HOST = /^(?:\[[\da-f:.]+(?:%25[\w.~-]+)?\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*)(?::\d{0,5})?$/i;

/** RFC 9112 3.2: of two names a hop before us may have gone by the other one. */
function isSoundlyAddressed({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let host: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length !== 4 || name.toLowerCase() !== 'host') continue;
    if (host !== undefined) return false;
    host = rawHeaders[i + 1] ?? '';
  }
  return host === undefined ? httpVersion === '1.0' : HOST.test(host);
}
