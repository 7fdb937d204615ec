/**
 * JSON values as vLLM reads them, where that is not what `JSON.parse` says: Python's parser knows numbers that are none,
 * and pydantic takes more than one spelling of true and false.
 */

/** Like `JSON.parse`, but `NaN`, `Infinity` and `-Infinity` are values, too. They come back as null. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const plain = withoutNonFinite(text);
    if (plain === undefined) throw error;
    return JSON.parse(plain);
  }
}

const TRUE: ReadonlySet<string> = new Set(['true', '1', 'yes', 'on', 't', 'y']);
const FALSE: ReadonlySet<string> = new Set(['false', '0', 'no', 'off', 'f', 'n']);
const LONGEST_WORD = 'false'.length;

/** A boolean field as pydantic reads it; undefined for what it refuses. */
export function readBoolean(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 1) return true;
  if (value === 0) return false;
  if (typeof value !== 'string' || value.length > LONGEST_WORD) return undefined;
  const word = value.toLowerCase();
  if (TRUE.has(word)) return true;
  return FALSE.has(word) ? false : undefined;
}

/** A whole number as pydantic reads it, from its digits as well; undefined for what is none. */
export function readInteger(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value.length > LONGEST_NUMBER) return undefined;
  const digits = value.trim().replaceAll('_', '');
  return DIGITS.test(digits) ? Number(digits) : undefined;
}

const LONGEST_NUMBER = 32;
const DIGITS = /^[+-]?\d+(?:\.0*)?$/;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const CAPITAL_N = 0x4e;
const CAPITAL_I = 0x49;
const MINUS = 0x2d;

/** With null in their place, outside of strings; undefined where there is none. Whether the rest is JSON is not asked. */
function withoutNonFinite(text: string): string | undefined {
  if (!text.includes('NaN') && !text.includes('Infinity')) return undefined;
  // Joined at the end: a text that grows by hundreds of thousands of pieces takes far longer to read.
  const plain: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length;) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    const word = nonFinite(unit);
    if (word === undefined || !text.startsWith(word, at)) {
      at += 1;
      continue;
    }
    plain.push(text.slice(from, at));
    at += word.length;
    from = at;
  }
  plain.push(text.slice(from));
  return plain.join('null');
}

/** The word that begins with this letter. */
function nonFinite(first: number): string | undefined {
  if (first === CAPITAL_N) return 'NaN';
  if (first === CAPITAL_I) return 'Infinity';
  return first === MINUS ? '-Infinity' : undefined;
}

/** Index behind the string that opens at `from`; the end of the text where it is not closed. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at + 1;
    if (unit === BACKSLASH) at += 1;
  }
  return text.length;
}
