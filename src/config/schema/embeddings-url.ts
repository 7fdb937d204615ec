import type { EmbeddingAddress } from '../settings/semantic-settings.ts';
import { parseHookUrl } from './hook-url.ts';

export const EMBEDDINGS_URL_FORMS =
  'http(s)://host:port, with or without a path, or unix:///path.sock, with or without :/path behind it';

/**
 * Where `POST /v1/embeddings` of a service is: what ends in `/embeddings` is taken as it stands, query included, anything else is what
 * stands before it. Undefined where the text is no such URL.
 */
export function parseEmbeddingsUrl(given: string): EmbeddingAddress | undefined {
  const parsed = parseHookUrl(given);
  if (parsed.kind === 'bad') return undefined;
  const { address, authorization } = parsed;
  const [path = '', query] = address.path.split('?', 2);
  const prefix = path.replace(/\/+$/, '');
  const whole = /\/embeddings$/.test(prefix)
    ? prefix
    : `${prefix}${/\/v1$/.test(prefix) ? '' : '/v1'}/embeddings`;
  return { base: address.base, path: query === undefined ? whole : `${whole}?${query}`, authorization };
}
