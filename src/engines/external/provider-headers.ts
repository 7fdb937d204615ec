import type { ExternalTraits } from '../../config/settings/settings.ts';

/**
 * What of a client's headers is for a provider. A list of what goes on, not of what does not: who the client is, where it
 * comes from and what it means for the router or for vLLM is nobody else's business.
 */
const FORWARDED: ReadonlySet<string> = new Set([
  ...['accept', 'content-type', 'openai-beta', 'idempotency-key'],
]);

/** About the account that the router calls under, or the connection; clients have neither. */
const NOT_HANDED_ON: ReadonlySet<string> = new Set([
  ...['set-cookie', 'openai-organization', 'openai-project', 'alt-svc', 'strict-transport-security'],
  ...['nel', 'report-to', 'proxy-authenticate', 'www-authenticate', 'x-request-id'],
]);

export interface ProviderCall {
  /** The client's, flat. */
  readonly headers: readonly string[];
  readonly requestId: string;
  readonly apiKey: string | undefined;
}

/** The headers of a request to a provider, flat. */
export function providerHeaders(
  { headers: clients, requestId, apiKey }: ProviderCall,
  { forwardHeaders, headers: configured, keyHeader }: ExternalTraits,
): string[] {
  const headers: string[] = [];
  for (let at = 0; at + 1 < clients.length; at += 2) {
    const name = (clients[at] ?? '').toLowerCase();
    if (configured.includes(name) || (!FORWARDED.has(name) && !forwardHeaders.includes(name))) continue;
    headers.push(name, clients[at + 1] ?? '');
  }
  headers.push('accept-encoding', 'identity', 'x-client-request-id', requestId, ...configured);
  if (apiKey !== undefined)
    headers.push(keyHeader, keyHeader === 'authorization' ? `Bearer ${apiKey}` : apiKey);
  return headers;
}

/** The headers of its answer that a client may see, flat. */
export function handedOn(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const lower = name.toLowerCase();
    if (NOT_HANDED_ON.has(lower) || lower.startsWith('x-ratelimit-') || lower.startsWith('x-vllm-router-'))
      continue;
    kept.push(name, headers[at + 1] ?? '');
  }
  return kept;
}
