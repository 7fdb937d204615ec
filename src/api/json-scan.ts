/**
 * Finds the top-level members of a JSON object in its bytes, without building values. Used for bodies too large for
 * `JSON.parse`, which would hold up every stream of the process (167 ms for 100 MB).
 */
export interface JsonMember {
  /** Decoded key. */
  readonly key: string;
  /** Byte range of the value, surrounding white space excluded. */
  readonly start: number;
  readonly end: number;
}

/** Far more than any API has. Millions of them would hold up every stream for seconds. */
export const MOST_MEMBERS = 4096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Python's parser, and so vLLM, reads past a byte order mark. */
export function bomLength(bytes: Buffer): 0 | 3 {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/**
 * The members in order, duplicates included, or undefined when the bytes are not one JSON object of at most
 * `MOST_MEMBERS` members. Values are checked for balanced brackets and closed strings only; the worker's own parser is the judge of the rest.
 */
export function scanMembers(json: Buffer): JsonMember[] | undefined {
  const members: JsonMember[] = [];
  const whole = visitMembers(json, (keyStart, keyEnd, start, end) => {
    const key = decodeString(json.subarray(keyStart, keyEnd));
    return key !== undefined && members.push({ key, start, end }) <= MOST_MEMBERS;
  });
  return whole ? members : undefined;
}

/**
 * The members with one of these keys, however the keys are escaped, in order, duplicates included; undefined when the
 * bytes are not one JSON object. The other members cost nothing but their bytes, so there may be any number of them.
 */
export function findMembers(json: Buffer, keys: readonly string[]): JsonMember[] | undefined {
  const found: JsonMember[] = [];
  const longest = Math.max(...keys.map((key) => key.length));
  const whole = visitMembers(json, (keyStart, keyEnd, start, end) => {
    // Every character of a key takes at most the six bytes of its escape.
    if (keyEnd - keyStart - 2 > 6 * longest) return true;
    const key = decodeString(json.subarray(keyStart, keyEnd));
    if (key !== undefined && keys.includes(key)) found.push({ key, start, end });
    return found.length <= MOST_MEMBERS;
  });
  return whole ? found : undefined;
}

/** Key ranges include the quotes. False when the bytes are not one JSON object, or `visit` was not content. */
function visitMembers(
  json: Buffer,
  visit: (keyStart: number, keyEnd: number, start: number, end: number) => boolean,
): boolean {
  let at = skipSpace(json, 0);
  if (json[at] !== OPEN_BRACE) return false;
  at = skipSpace(json, at + 1);
  if (json[at] === CLOSE_BRACE) return skipSpace(json, at + 1) === json.length;
  for (;;) {
    if (json[at] !== QUOTE) return false;
    const keyStart = at;
    const keyEnd = endOfString(json, keyStart);
    if (keyEnd < 0) return false;
    at = skipSpace(json, keyEnd);
    if (json[at] !== COLON) return false;
    const start = skipSpace(json, at + 1);
    const end = endOfValue(json, start);
    if (end <= start || !visit(keyStart, keyEnd, start, end)) return false;
    at = skipSpace(json, end);
    if (json[at] === CLOSE_BRACE) return skipSpace(json, at + 1) === json.length;
    if (json[at] !== COMMA) return false;
    at = skipSpace(json, at + 1);
  }
}

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length) {
    const byte = json[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at += 1;
  }
  return at;
}

/** Bytes looked at one by one before searching on: a search for every quote of an escape-dense text would stall. */
const STRIDE = 64;

/** Index behind the closing quote of the string that opens at `from`, or -1. */
function endOfString(json: Buffer, from: number): number {
  let at = from + 1;
  while (at < json.length) {
    const stop = Math.min(json.length, at + STRIDE);
    while (at < stop) {
      const byte = json[at];
      if (byte === QUOTE) return at + 1;
      at += byte === BACKSLASH ? 2 : 1;
    }
    const quote = json.indexOf(QUOTE, at);
    if (quote < 0) return -1;
    if (backslashesBefore(json, quote, at) % 2 === 0) return quote + 1;
    at = quote + 1;
  }
  return -1;
}

/** `from` is no second half of an escape, so backslashes pair up from there. */
function backslashesBefore(json: Buffer, index: number, from: number): number {
  let count = 0;
  while (index - 1 - count >= from && json[index - 1 - count] === BACKSLASH) count += 1;
  return count;
}

/** Index behind the value that begins at `from`, or -1. */
function endOfValue(json: Buffer, from: number): number {
  const first = json[from];
  if (first === QUOTE) return endOfString(json, from);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return endOfScalar(json, from);
  let depth = 0;
  for (let at = from; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === QUOTE) {
      const end = endOfString(json, at);
      if (end < 0) return -1;
      at = end - 1;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

/** Python's parser, and so vLLM, knows the last three as well. */
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity)$/;

function endOfScalar(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length) {
    const byte = json[at];
    if (
      byte === COMMA ||
      byte === CLOSE_BRACE ||
      byte === 0x20 ||
      byte === 0x0a ||
      byte === 0x0d ||
      byte === 0x09
    )
      break;
    at += 1;
  }
  return SCALAR.test(json.toString('latin1', from, at)) ? at : -1;
}

function decodeString(quoted: Buffer): string | undefined {
  try {
    const value: unknown = JSON.parse(quoted.toString('utf8'));
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
