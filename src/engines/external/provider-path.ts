import type { ExternalTraits } from '../../config/settings/settings.ts';

/** Names in a query that may hold a key: what a client wrote there is for nobody else. */
const KEYS_IN_QUERY: ReadonlySet<string> = new Set([
  ...['key', 'api_key', 'api-key', 'apikey', 'access_token', 'token', 'subscription-key', 'sig', 'code'],
]);

/**
 * The path and query of a request as the provider has it, behind the path of its base URL. `target` begins with `/v1/`, for
 * which the path of the base URL stands where it has one, as in the SDKs; undefined: the model makes no path.
 * @param model The provider's name of the model, '' where the request names none.
 */
export function providerPath(
  target: string,
  baseUrl: string,
  { deployments, apiVersion }: Pick<ExternalTraits, 'deployments' | 'apiVersion'>,
  model: string,
): string | undefined {
  const [path, query = ''] = splitOnce(target, '?');
  const behind = path.slice('/v1'.length);
  const inModel = deployments && model !== '' ? deploymentOf(model) : '';
  if (inModel === undefined) return undefined;
  const kept = queryFor(query, apiVersion);
  return `${hasPath(baseUrl) ? '' : '/v1'}${inModel}${behind}${kept === '' ? '' : `?${kept}`}`;
}

/** A deployment is one segment, whatever the model is called; one that climbs up is none. */
function deploymentOf(model: string): string | undefined {
  return /^\.{1,2}$/.test(model) ? undefined : `/deployments/${encodeURIComponent(model)}`;
}

function hasPath(baseUrl: string): boolean {
  return !baseUrl.startsWith('unix:') && new URL(baseUrl).pathname !== '/';
}

function queryFor(query: string, apiVersion: string | undefined): string {
  const own = apiVersion === undefined ? [] : [`api-version=${apiVersion}`];
  const clients = query.split('&').filter((part) => {
    const [name] = splitOnce(part, '=');
    const plain = decoded(name).toLowerCase();
    return part !== '' && !KEYS_IN_QUERY.has(plain) && !(apiVersion !== undefined && plain === 'api-version');
  });
  return [...clients, ...own].join('&');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

function splitOnce(text: string, by: string): [string, string?] {
  const at = text.indexOf(by);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
