import type { Problem } from './layer.ts';

export const PREFILL_FLAG = '--prefill';

/** As `prefill_urls` has them. */
export type PrefillItem = string | readonly [url: string, port: number];

export interface Peeled {
  /** In their order. */
  readonly items: readonly PrefillItem[];
  /** The command line without them. */
  readonly rest: readonly string[];
  readonly problems: readonly Problem[];
}

/**
 * Takes every `--prefill URL [PORT|none]` out of the command line, wherever it stands: between the values of a list, too,
 * as other routers do. A word behind the URL that is no number stays for whoever reads the rest.
 */
export function peelPrefill(argv: readonly string[]): Peeled {
  const items: PrefillItem[] = [];
  const rest: string[] = [];
  const problems: Problem[] = [];
  for (let at = 0; at < argv.length; at++) {
    const token = argv[at] ?? '';
    const inline = token.startsWith(`${PREFILL_FLAG}=`) ? token.slice(PREFILL_FLAG.length + 1) : undefined;
    if (inline === undefined && token !== PREFILL_FLAG) {
      rest.push(token);
      continue;
    }
    const url = inline ?? argv[at + 1];
    if (url === undefined || url === '' || url.startsWith('-')) {
      const got = url ? `, got ${url}` : '';
      problems.push({ at: PREFILL_FLAG, message: `requires a URL immediately after${got}` });
      continue;
    }
    if (inline === undefined) at += 1;
    const next = argv[at + 1] ?? '';
    if (isNumber(next)) items.push([url, Number(next)]);
    else items.push(url);
    if (isNumber(next) || next.toLowerCase() === 'none') at += 1;
  }
  return { items, rest, problems };
}

function isNumber(word: string): boolean {
  return /^\+?\d+$/.test(word);
}
