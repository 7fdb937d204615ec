/** Flat header lists: `[name, value, name, value, ...]`, as `rawHeaders` has them. */
export type FlatHeaders = readonly string[];

/** RFC 9110 7.6.1, plus the two that only ever concern one connection. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'trailers',
  'transfer-encoding',
  'upgrade',
]);

/** First value of a header, by lower-case name. */
export function headerOf(headers: FlatHeaders, name: string): string | undefined {
  const { length } = name;
  const last = name.charCodeAt(length - 1) | LOWER_CASE;
  for (let i = 0; i < headers.length; i += 2) {
    const candidate = headers[i]!;
    // Asked some ten times per request: length and last letter tell nearly all other headers apart.
    if (candidate.length !== length || (candidate.charCodeAt(length - 1) | LOWER_CASE) !== last) continue;
    if (candidate.toLowerCase() === name) return headers[i + 1];
  }
  return undefined;
}

/** Whether a body is server-sent events. */
export function isEventStream(headers: FlatHeaders): boolean {
  return headerOf(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true;
}

/** Makes a letter a small one. */
const LOWER_CASE = 0x20;
/** All values of a header, by lower-case name, as one (RFC 9110 5.3). */
export function joinedHeader(headers: FlatHeaders, name: string): string | undefined {
  let joined: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const candidate = headers[i];
    if (candidate?.length !== name.length || candidate.toLowerCase() !== name) continue;
    const value = headers[i + 1] ?? '';
    joined = joined === undefined ? value : `${joined}, ${value}`;
  }
  return joined;
}

/** Whether a header, by lower-case name, stands there more than once. */
export function repeatsHeader(headers: FlatHeaders, name: string): boolean {
  let seen = 0;
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === name) seen += 1;
  return seen > 1;
}

/** The end-to-end headers: without the hop-by-hop ones, those that `Connection` names, and those for which `drop` says so. */
export function endToEnd(headers: FlatHeaders, drop: (lowerName: string) => boolean): string[] {
  const named = connectionTokens(headers);
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || named?.has(lower) === true || drop(lower)) continue;
    kept.push(name, headers[i + 1] ?? '');
  }
  return kept;
}

/** Names listed in `Connection`, or undefined for the usual `keep-alive` and `close`. */
function connectionTokens(headers: FlatHeaders): Set<string> | undefined {
  let tokens: Set<string> | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i];
    if (name?.length !== 10 || name.toLowerCase() !== 'connection') continue;
    const value = (headers[i + 1] ?? '').toLowerCase();
    if (value === 'keep-alive' || value === 'close') continue;
    tokens ??= new Set();
    for (const token of value.split(',')) tokens.add(token.trim());
  }
  return tokens;
}

const VISIBLE_ASCII = /^[\x21-\x7e]*$/;
const MAX_VALUE_BYTES = 256;

/** A value safe to put into a header: percent-encoded outside visible ASCII, at most 256 bytes. */
export function headerValue(value: string): string {
  if (VISIBLE_ASCII.test(value)) return value.slice(0, MAX_VALUE_BYTES);
  let safe = '';
  // Clients choose some of these values: what is cut off need not be encoded first.
  for (const char of value.slice(0, MAX_VALUE_BYTES)) {
    const next = VISIBLE_ASCII.test(char) ? char : encodeURIComponent(char.toWellFormed());
    if (safe.length + next.length > MAX_VALUE_BYTES) break;
    safe += next;
  }
  return safe;
}
