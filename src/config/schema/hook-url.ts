import type { HookAddress } from '../settings/settings.ts';

export const HOOK_URL_FORMS = 'http(s)://host:port/path, unix:///path.sock or unix:///path.sock:/path';

export type ParsedHookUrl =
  | { readonly kind: 'ok'; readonly address: HookAddress; readonly authorization: string | undefined }
  /** `expected` completes the sentence "expected ...". It quotes nothing: the URL may hold a password. */
  | { readonly kind: 'bad'; readonly expected: string };

const bad = (expected: string): ParsedHookUrl => ({ kind: 'bad', expected });

/** Reads the address of a hook service. A user and password become the `Authorization` of its calls. */
export function parseHookUrl(given: string): ParsedHookUrl {
  if (/[\s#]/.test(given)) return bad('a URL without spaces and fragment');
  if (/^unix:/i.test(given)) return parseUnix(given);
  const url = /^https?:\/\/[^/]/i.test(given) ? URL.parse(given) : null;
  if (!url) return bad(HOOK_URL_FORMS);
  const { username, password } = url;
  const pair = credentialsOf(username, password);
  if (pair === undefined) return bad('a user and password whose percent signs are escapes');
  return {
    kind: 'ok',
    address: { base: `${url.protocol}//${url.host}`, path: url.pathname + url.search },
    authorization: pair === ':' ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`,
  };
}

function parseUnix(given: string): ParsedHookUrl {
  const [, socket, path = '/'] = /^unix:\/\/(\/[^/?:][^?:]*)(?::(\/.*))?$/i.exec(given) ?? [];
  if (socket === undefined) return bad('unix:///absolute/path.sock or unix:///absolute/path.sock:/path');
  return { kind: 'ok', address: { base: `unix://${socket}`, path }, authorization: undefined };
}

function credentialsOf(username: string, password: string): string | undefined {
  try {
    return `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    return undefined;
  }
}
