const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Bytes looked at one by one before searching on: a search for every quote of an escape-dense text would stall. */
const STRIDE = 64;

/**
 * Index behind the closing quote of a string of JSON, looked for from within it. Where it is not there, the complement (`~`) of the
 * index to go on from when there are more bytes: one behind the last where they end in half of an escape.
 */
export function stringEnd(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length) {
    const stop = Math.min(json.length, at + STRIDE);
    while (at < stop) {
      const byte = json[at];
      if (byte === QUOTE) return at + 1;
      at += byte === BACKSLASH ? 2 : 1;
    }
    if (at >= json.length) break;
    const quote = json.indexOf(QUOTE, at);
    const end = quote < 0 ? json.length : quote;
    const isEscaped = backslashesBefore(json, end, at) % 2 === 1;
    if (quote >= 0 && !isEscaped) return quote + 1;
    at = isEscaped ? end + 1 : end;
  }
  return ~at;
}

/** `from` is no second half of an escape, so backslashes pair up from there. */
function backslashesBefore(json: Buffer, index: number, from: number): number {
  let count = 0;
  while (index - 1 - count >= from && json[index - 1 - count] === BACKSLASH) count += 1;
  return count;
}
