import { headerOf } from '../../http/headers.ts';

/** The provider does not accept the key, wants money, or refuses what the router may not do. */
const REFUSED: ReadonlySet<number> = new Set([401, 402, 403]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Where it says nothing of when. */
const LIMITED_MS = 10_000;
/** Somebody has to do something about it. */
const REFUSED_MS = 60_000;
/** A provider may refuse one prompt with it: that must not take the others' way for long. */
const FORBIDDEN_MS = 10_000;
/** However long it says: by then it may have changed its mind. */
const LONGEST_MS = 600_000;

/** Statuses of a provider that are not for the client: they are about the router. */
export function isRefusal(status: number): boolean {
  return REFUSED.has(status);
}

/** None is followed: it would take prompts and the key elsewhere. */
export function isRedirect(status: number): boolean {
  return REDIRECTS.has(status);
}

/**
 * How long a provider is to be left alone after this answer, ms; 0 = not at all. It says so by 429, by refusing the router's
 * key, and by the limits that it tells with any answer.
 */
export function restAfter(
  status: number,
  headers: readonly string[],
  retryAfterMs: number | undefined,
): number {
  if (status === 403) return FORBIDDEN_MS;
  if (REFUSED.has(status)) return REFUSED_MS;
  const exhausted = Math.max(exhaustedMs(headers, 'requests'), exhaustedMs(headers, 'tokens'));
  if (status !== 429) return Math.min(LONGEST_MS, exhausted);
  return Math.min(LONGEST_MS, retryAfterMs ?? (exhausted > 0 ? exhausted : LIMITED_MS));
}

/** Until nothing is left is over; 0 where something is left, or nothing is said. */
function exhaustedMs(headers: readonly string[], what: 'requests' | 'tokens'): number {
  if (headerOf(headers, `x-ratelimit-remaining-${what}`)?.trim() !== '0') return 0;
  return durationMs(headerOf(headers, `x-ratelimit-reset-${what}`)?.trim() ?? '') ?? 0;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** As OpenAI writes durations (`12ms`, `8.64s`, `6m0s`), or seconds alone; undefined for what is none. */
export function durationMs(text: string): number | undefined {
  if (/^\d{1,9}(\.\d{1,9})?$/.test(text)) return Number(text) * 1000;
  if (text.length > 32 || !/^(\d{1,9}(\.\d{1,9})?(ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number = '', , unit = ''] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h)/g))
    sum += Number(number) * (UNITS[unit] ?? 0);
  return sum;
}
