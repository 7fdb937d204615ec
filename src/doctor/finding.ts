/** `skipped`: nothing was looked at, and the text says why. */
export const MARKS = ['ok', 'warn', 'fail', 'skipped'] as const;
export type Mark = (typeof MARKS)[number];

/** What one check came to. */
export interface Finding {
  readonly mark: Mark;
  /** One line. What a worker said in it has been made printable. */
  readonly text: string;
  /** What to do about it, where there is something to do. */
  readonly remedy?: string;
}

export function ok(text: string): Finding {
  return { mark: 'ok', text };
}

export function skipped(text: string, remedy?: string): Finding {
  return { mark: 'skipped', text, ...(remedy === undefined ? {} : { remedy }) };
}

/** Works, but not as well as it could. */
export function warn(text: string, remedy: string): Finding {
  return { mark: 'warn', text, remedy };
}

export function fail(text: string, remedy: string): Finding {
  return { mark: 'fail', text, remedy };
}

const LONGEST_QUOTE = 160;

/** What came from outside, for one line of a terminal: without control characters, and cut. */
export function quote(text: string, longest = LONGEST_QUOTE): string {
  const head = text.length > longest ? `${text.slice(0, longest)}...` : text;
  return head.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
}

const MOST_NAMES = 5;

/** A list of what came from outside; a long one is cut. */
export function quoteAll(names: readonly string[]): string {
  const shown = names
    .slice(0, MOST_NAMES)
    .map((name) => quote(name))
    .join(', ');
  return names.length > MOST_NAMES ? `${shown} and ${String(names.length - MOST_NAMES)} more` : shown;
}
