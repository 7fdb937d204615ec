import { parseHookUrl } from './hook-url.ts';

export const CONTROLLER_URL_FORMS = 'http(s)://host:port, with or without a path, or unix:///path.sock';

export interface ControllerUrl {
  /** `http(s)://host:port` or `unix:///path.sock`. */
  readonly base: string;
  /** In front of every path; empty or `/one/two`. */
  readonly prefix: string;
  /** What the user and password in the URL come to. */
  readonly authorization: string | undefined;
}

/** Undefined where the text is no such URL. */
export function parseControllerUrl(given: string): ControllerUrl | undefined {
  const parsed = parseHookUrl(given);
  if (parsed.kind === 'bad' || parsed.address.path.includes('?')) return undefined;
  const { address, authorization } = parsed;
  return { base: address.base, prefix: address.path.replace(/\/+$/, ''), authorization };
}
