import { parseJson } from './python-json.ts';

/** Below that many digits in a row no integer is too long for JavaScript. */
const MANY_DIGITS = /\d{16}/;

/** Node has it; TypeScript's libraries do not yet. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => object };

/**
 * `parseJson` for what is written as JSON again: an integer that is too long for JavaScript keeps its digits there. In the value it is
 * an object that means nothing.
 */
export function parseExactly(text: string): unknown {
  if (!MANY_DIGITS.test(text)) return parseJson(text);
  try {
    return JSON.parse(text, keepDigits);
  } catch {
    return parseJson(text);
  }
}

function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== 'number' || source === undefined || !MANY_DIGITS.test(source)) return value;
  return source === String(value) ? value : rawJSON(source);
}
