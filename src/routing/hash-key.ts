import { hash53 } from '../base/hash.ts';
import type { HashKey } from './policy.ts';

/** Where a hash key may be found. `text` is the source as configured and as shown: `header:x-user-id`, `body:user`. */
export type HashKeySource =
  | { readonly kind: 'header'; readonly name: string; readonly text: string; readonly sticky: boolean }
  | {
      readonly kind: 'body';
      readonly path: readonly string[];
      readonly text: string;
      readonly sticky: boolean;
    };

/** The source of a key that is a fingerprint of the prompt. */
export const PROMPT_SOURCE = 'prompt';

/**
 * Ids of something smaller or larger than a conversation or a user. Pinning them would fill the pins with ids that
 * never return, or keep a whole tenant from ever spreading to new workers.
 */
const NOT_STICKY: ReadonlySet<string> = new Set([
  'header:x-semantic-cluster-id',
  'header:x-tenant-id',
  'header:x-request-id',
  'header:x-trace-id',
  'header:traceparent',
]);

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** @returns undefined when the text is neither `header:<name>` nor `body:<dotted path>`. */
export function parseHashKeySource(text: string): HashKeySource | undefined {
  const colon = text.indexOf(':');
  const kind = text.slice(0, Math.max(colon, 0)).trim().toLowerCase();
  const rest = text.slice(colon + 1).trim();
  if (kind === 'header') {
    const name = rest.toLowerCase();
    if (!HEADER_NAME.test(name)) return undefined;
    const source = `header:${name}`;
    return { kind, name, text: source, sticky: !NOT_STICKY.has(source) };
  }
  if (kind === 'body') {
    const path = rest.split('.');
    if (path.includes('')) return undefined;
    return { kind, path, text: `body:${rest}`, sticky: true };
  }
  return undefined;
}

/**
 * The first source that yields a value; the prompt's fingerprint when none does.
 *
 * @param header The client's header by lower-case name. Ids that the router made itself must not be visible here: a
 *   fresh id per request would scatter every conversation.
 * @param body The parsed value at a path of the request body.
 */
export function readHashKey(
  sources: readonly HashKeySource[],
  header: (name: string) => string | undefined,
  body: (path: readonly string[]) => unknown,
  fingerprint: () => string,
): HashKey {
  for (const source of sources) {
    const value = idText(source.kind === 'header' ? header(source.name) : body(source.path));
    if (value !== '') return { source: source.text, value, sticky: source.sticky };
  }
  return { source: PROMPT_SOURCE, value: fingerprint(), sticky: false };
}

/**
 * The id of a conversation or a user, where the request brings one: the first sticky source that yields a value, as
 * one text; undefined when none does.
 */
export function readSessionKey(
  sources: readonly HashKeySource[],
  header: (name: string) => string | undefined,
  body: (path: readonly string[]) => unknown,
): string | undefined {
  for (const source of sources) {
    if (!source.sticky) continue;
    const value = idText(source.kind === 'header' ? header(source.name) : body(source.path));
    if (value !== '') return `${source.text}:${value}`;
  }
  return undefined;
}

function idText(value: unknown): string {
  if (typeof value === 'string') return value.trim();
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  return '';
}

const WATCHED_KEYS = 1000;
const FRESH_SHARE = 0.9;

export interface FreshIds {
  /** The source that most of the ids came from. */
  readonly source: string;
  /** Fraction of the watched keys whose id was seen once. */
  readonly share: number;
}

/** The id in a key, hashed; undefined for a fingerprint of the prompt. */
export function idOf({ source, value }: HashKey): number | undefined {
  return source === PROMPT_SOURCE ? undefined : hash53(`${source}:${value}`);
}

/**
 * Notices, once, that the ids used as keys are fresh for every request, e.g. because a proxy in front sets a new
 * `x-request-id` each time: the hash policies then place at random. Looks at windows of 1,000 keys.
 */
export class FreshIdWatch {
  #seen: Map<number, { readonly source: string; count: number }> | undefined = new Map();
  #keys = 0;

  /** @returns a finding the first time that over 90% of a window's keys were ids seen once in it; else undefined. */
  note(key: HashKey): FreshIds | undefined {
    return this.#seen && this.noteId(key.source, idOf(key));
  }

  /** The same with the id as a hash, undefined for a key that is none. */
  protected noteId(source: string, id: number | undefined): FreshIds | undefined {
    if (!this.#seen) return undefined;
    this.#keys++;
    if (id !== undefined) {
      const entry = this.#seen.get(id);
      if (entry) entry.count++;
      else this.#seen.set(id, { source, count: 1 });
    }
    return this.#keys < WATCHED_KEYS ? undefined : this.#closeWindow(this.#seen);
  }

  #closeWindow(seen: ReadonlyMap<number, { readonly source: string; count: number }>): FreshIds | undefined {
    const bySource = new Map<string, number>();
    let fresh = 0;
    for (const { source, count } of seen.values()) {
      if (count > 1) continue;
      fresh++;
      bySource.set(source, (bySource.get(source) ?? 0) + 1);
    }
    this.#keys = 0;
    if (fresh <= FRESH_SHARE * WATCHED_KEYS) {
      this.#seen = new Map();
      return undefined;
    }
    this.#seen = undefined;
    let commonest = '';
    for (const [source, count] of bySource) {
      if (count > (bySource.get(commonest) ?? 0)) commonest = source;
    }
    return { source: commonest, share: fresh / WATCHED_KEYS };
  }
}
