/** A worker's address as the configuration gives it. */
export interface WorkerAddress {
  /** Without `@rank` and trailing slash; scheme and host in lower case; default ports dropped. */
  readonly baseUrl: string;
  readonly rank: number | undefined;
}

export type ParsedWorkerUrl =
  | { readonly kind: 'ok'; readonly address: WorkerAddress }
  /** `expected` completes the sentence "expected ...". */
  | { readonly kind: 'bad'; readonly expected: string };

export const WORKER_URL_FORMS = 'http://host:port, https://host:port or unix:///path.sock';
const HIGHEST_RANK = 2 ** 32 - 1;

const bad = (expected: string): ParsedWorkerUrl => ({ kind: 'bad', expected });

/** `external`: a provider's base URL, as clients of its API have it; its `/v1` is a part of it, and it has no ranks. */
export type UrlOf = 'worker' | 'external';

/**
 * Reads `http(s)://host[:port][/prefix][@rank]` and `unix:///absolute/path[@rank]`. The rank is split off first:
 * to a URL parser `http://host:8000@1` is user `host`, password `8000`, host `1`.
 */
export function parseWorkerUrl(given: string, of: UrlOf = 'worker'): ParsedWorkerUrl {
  const [tail = '', rankText] = /@(\d+)\/*$/.exec(given) ?? [];
  const url = withoutTrailingSlashes(given.slice(0, given.length - tail.length));
  const rank = rankText === undefined ? undefined : Number(rankText);
  if (rank !== undefined && rank > HIGHEST_RANK) return bad(`a rank of at most ${HIGHEST_RANK}`);
  if (/^unix:/i.test(given)) return parseUnix(url, rank);
  if (/[\s,]/.test(url)) return bad(`one URL per entry, ${WORKER_URL_FORMS} (separate several by spaces)`);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(given)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    const hint = /^[\w.[\]:-]+$/.test(url) ? `; did you mean http://${url}?` : '';
    return bad(`a URL with its scheme: ${WORKER_URL_FORMS}${hint}`);
  }
  if (scheme !== 'http' && scheme !== 'https') return bad(WORKER_URL_FORMS);
  if (of === 'external' && rank !== undefined) return bad('no @rank: an external backend has none');
  return parseHttp(url, rank, of);
}

function parseUnix(url: string, rank: number | undefined): ParsedWorkerUrl {
  const path = /^unix:\/\/(\/[^/].*)$/i.exec(url)?.[1];
  if (path === undefined) return bad('unix:///absolute/path.sock');
  if (/[?#\s]/.test(path)) return bad('unix:///absolute/path.sock without query, fragment and spaces');
  return { kind: 'ok', address: { baseUrl: `unix://${path}`, rank } };
}

function parseHttp(url: string, rank: number | undefined, of: UrlOf): ParsedWorkerUrl {
  const parsed = URL.parse(url);
  if (!parsed || !/^https?:\/\/[^/]/i.test(url)) return bad(`a URL that parses: ${WORKER_URL_FORMS}`);
  if (parsed.username !== '' || parsed.password !== '') {
    return bad('no user or password in the URL (keys belong in worker_api_keys)');
  }
  if (url.includes('?') || url.includes('#')) return bad('a base URL without query and fragment');
  const path = withoutTrailingSlashes(parsed.pathname);
  const baseUrl = `${parsed.protocol}//${parsed.host}${path}`;
  if (of === 'worker' && /\/v1$/i.test(path))
    return bad(`the server's base URL: drop /v1 (${baseUrl.slice(0, -3)})`);
  return { kind: 'ok', address: { baseUrl, rank } };
}

/** Not `/\/+$/`, which reads a run of slashes anew from each of them. */
function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}

/** The worker's name: its base URL, with `@rank` when it is one rank of several. */
export function workerId(address: WorkerAddress): string {
  return address.rank === undefined ? address.baseUrl : `${address.baseUrl}@${address.rank}`;
}
