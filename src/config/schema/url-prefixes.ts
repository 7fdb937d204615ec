import { parseWorkerUrl } from './worker-url.ts';

/** A URL that stands for every worker below it. */
export interface UrlPrefix {
  /** Normalised as the base URLs of workers are. */
  readonly url: string;
  /** Written without port and path: it stands for every port of the host. */
  readonly anyPort: boolean;
}

/** The prefix, or undefined where the text is no base URL of a worker. */
export function parseUrlPrefix(given: string): UrlPrefix | undefined {
  const parsed = parseWorkerUrl(given);
  if (parsed.kind === 'bad' || parsed.address.rank !== undefined) return undefined;
  const url = parsed.address.baseUrl;
  // What is normalised says no more whether `:80` was written.
  return { url, anyPort: /^https?:\/\/(\[[^\]]*\]|[^/:]*)\/*$/i.test(given) };
}

/**
 * Whether the worker stands at or below the prefix. They part at the end of a port or of a path segment:
 * `http://gpu1:80` is not the beginning of `http://gpu1:8000`, nor `http://gw/a` that of `http://gw/ab`.
 */
export function covers({ url, anyPort }: UrlPrefix, baseUrl: string): boolean {
  if (!baseUrl.startsWith(url)) return false;
  const next = baseUrl[url.length];
  return next === undefined || next === '/' || (anyPort && next === ':');
}

/** Values by URL prefix. Of several prefixes that cover a worker, the most particular one counts. */
export class UrlPrefixes<T> {
  /** The most particular first. Readable, so that two of them can be compared. */
  readonly entries: readonly (readonly [prefix: UrlPrefix, value: T])[];
  readonly others: T | undefined;
  /** The common case, in which every worker has its own. */
  readonly #exact: ReadonlyMap<string, T>;

  private constructor({ entries, others }: Pick<UrlPrefixes<T>, 'entries' | 'others'>) {
    this.entries = entries;
    this.others = others;
    // Of two for the same URL the later one is the one that is less particular.
    this.#exact = new Map(entries.map(([{ url }, value]): [string, T] => [url, value]).reverse());
  }

  /**
   * @param values By URL as written; what is no base URL is left out.
   * @param others For every worker that none of them covers.
   */
  static of<T>(values: Readonly<Record<string, T>>, others?: T): UrlPrefixes<T> {
    const entries = Object.entries(values)
      .flatMap(([given, value]): (readonly [UrlPrefix, T])[] => {
        const prefix = parseUrlPrefix(given);
        return prefix ? [[prefix, value]] : [];
      })
      .sort(
        ([left], [right]) =>
          right.url.length - left.url.length || Number(left.anyPort) - Number(right.anyPort),
      );
    return new UrlPrefixes({ entries, others });
  }

  /** Of what was posted to another thread, which keeps fields and loses methods. */
  static restored<T>(fields: Pick<UrlPrefixes<T>, 'entries' | 'others'>): UrlPrefixes<T> {
    return new UrlPrefixes(fields);
  }

  get(baseUrl: string): T | undefined {
    const found = this.#exact.get(baseUrl) ?? this.entries.find(([prefix]) => covers(prefix, baseUrl))?.[1];
    return found ?? this.others;
  }
}
