import type { FlatHeaders } from './headers.ts';

/** Where browsers put a key, which cannot set headers of a handshake: OpenAI's way. */
const KEY_PREFIX = 'openai-insecure-api-key.';
export const HEADER_PROTOCOL = 'sec-websocket-protocol';

/** The subprotocols that a client offers, in order. */
export function offeredProtocols(headers: FlatHeaders): string[] {
  const offered: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (headers[i]?.toLowerCase() === HEADER_PROTOCOL)
      offered.push(...(headers[i + 1] ?? '').split(',').map((one) => one.trim()));
  return offered.filter((one) => one !== '');
}

export function isKey(protocol: string): boolean {
  return protocol.startsWith(KEY_PREFIX);
}

/** The key among them. */
export function protocolKey(headers: FlatHeaders): string | undefined {
  const key = offeredProtocols(headers).find(isKey)?.slice(KEY_PREFIX.length);
  return key === '' ? undefined : key;
}
