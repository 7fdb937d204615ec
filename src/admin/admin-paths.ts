import { normalisePath, originForm, pathOf } from '../http/normalise-path.ts';
import { isOwnPath } from '../http/own-paths.ts';

const OPENAPI = '/openapi.json';

/**
 * Says which requests are for the worker and admin routes: by the normalised path, as everything that guards. Asked of
 * every request, so the one thing that most of them have in common, their target, is remembered.
 */
export class AdminPaths {
  /** The target that was last found to be for somebody else. */
  #notOurs = '';
  readonly #ownOpenApi: boolean;

  /** @param options.openApi False where `/openapi.json` belongs to the workers. */
  constructor(options: { readonly openApi: boolean }) {
    this.#ownOpenApi = options.openApi;
  }

  /** The request's normalised path with its query, or undefined when the request is not for these routes. */
  match(url: string): { readonly path: string; readonly query: string } | undefined {
    if (url === this.#notOurs) return undefined;
    const target = originForm(url);
    const raw = pathOf(target);
    const path = normalisePath(raw);
    if (this.#isOurs(path)) return { path, query: queryOf(target, raw.length) };
    this.#notOurs = url;
    return undefined;
  }

  #isOurs(path: string): boolean {
    return isOwnPath(path) || (path === OPENAPI && this.#ownOpenApi);
  }
}

/** With its question mark; without a fragment. */
function queryOf(target: string, at: number): string {
  if (target[at] !== '?') return '';
  const end = target.indexOf('#', at);
  return target.slice(at, end < 0 ? undefined : end);
}

/** A worker's URL as a normalised path has it: the slashes behind the scheme have become one. */
export function urlInPath(rest: string): string {
  return rest.replace(/^(https?):\/+/i, '$1://').replace(/^unix:\/+/i, 'unix:///');
}
