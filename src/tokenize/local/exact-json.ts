import { isObject } from '../../api/prompt-sink.ts';

/** Some of it would be shown to the model otherwise than Python shows it. */
export class NotAlike extends Error {}

/**
 * Parses JSON whose values a template may write out again. JavaScript knows one kind of number, and puts keys that look like
 * numbers first: where that would show, it throws `NotAlike`.
 */
export function parseExactly(json: string): unknown {
  return JSON.parse(json, check);
}

function check(this: unknown, key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value === 'number' && !isSpeltAlike(value, context?.source))
    throw new NotAlike('a number that Python writes otherwise');
  if (isObject(this) && (NUMERIC.test(key) || key === '__proto__'))
    throw new NotAlike('a key that JavaScript has in another place');
  return value;
}

const NUMERIC = /^(?:0|[1-9]\d*)$/;

/** Python keeps 1.0 apart from 1, has integers of any size, and begins with exponents elsewhere. */
function isSpeltAlike(value: number, source: string | undefined): boolean {
  if (source !== String(value) || source.includes('e')) return false;
  return Number.isSafeInteger(value) || (Math.abs(value) >= 1e-4 && Math.abs(value) < 1e15);
}
