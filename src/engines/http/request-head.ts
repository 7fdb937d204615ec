/** What no HTTP/1.1 message may hold; the client's or a hook's doing, not the worker's. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_PATH = /[^\x21-\x7e\x80-\xff]/;
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
/** Methods whose requests are expected to have a body: without one they say so (RFC 9110 8.6). */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

export interface RequestHead {
  readonly method: string;
  /** With the worker's own prefix and the query string. */
  readonly path: string;
  /** Flat; no `Host`, no hop-by-hop fields. `Content-Length` only with a streamed body, as its sender announced it. */
  readonly headers: readonly string[];
  readonly host: string;
  /** Bytes of the body, undefined where nobody knows and it goes out in chunks. */
  readonly length: number | undefined;
  readonly upgrade: 'websocket' | undefined;
}

/**
 * The head as it goes out, Latin-1, up to and with its empty line.
 * @throws BadRequest
 */
export function requestHead({ method, path, headers, host, length, upgrade }: RequestHead): string {
  if (!TOKEN.test(method)) throw new BadRequest('a method that is no word');
  if (NOT_IN_PATH.test(path)) throw new BadRequest('a blank or a control character in the path');
  let text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  text += upgrade ? `connection: upgrade\r\nupgrade: ${upgrade}\r\n` : 'connection: keep-alive\r\n';
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    if (!TOKEN.test(name)) throw new BadRequest('a header name that is no word');
    if (NOT_IN_VALUE.test(value)) throw new BadRequest(`a control character in the header ${name}`);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}${framing(method, length, upgrade)}\r\n`;
}

function framing(method: string, length: number | undefined, upgrade: RequestHead['upgrade']): string {
  if (upgrade) return '';
  if (length === undefined) return 'transfer-encoding: chunked\r\n';
  return length > 0 || WITH_BODY.has(method) ? `content-length: ${length}\r\n` : '';
}
