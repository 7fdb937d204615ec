import type { Unavailable } from './redis-link.ts';

/** Codes with which a server begins an error, where they say more than that it refuses one command. */
const CODES: Readonly<Record<string, Unavailable>> = {
  OOM: 'full',
  READONLY: 'read_only',
  MISCONF: 'read_only',
  NOREPLICAS: 'read_only',
  NOPERM: 'denied',
  NOAUTH: 'broken',
  WRONGPASS: 'broken',
  LOADING: 'broken',
  MASTERDOWN: 'broken',
  CLUSTERDOWN: 'broken',
  BUSY: 'broken',
};

/** What an error of the client library comes to. Whatever is no reply of the server is a connection that cannot be trusted any more. */
export function faultOf(error: unknown): Unavailable {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return 'broken';
  return CODES[/^[A-Z]+/.exec(error.message)?.[0] ?? ''] ?? 'refused';
}

/** Fit for a log line: what the server says may be long, and may quote what it was sent. */
export function faultText(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return code ?? (error.message.slice(0, MOST_TEXT) || error.name);
}

const MOST_TEXT = 120;
