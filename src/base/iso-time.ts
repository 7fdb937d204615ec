let at = NaN;
let text = '';

/** RFC 3339, UTC, ms. A busy router asks many times in the same millisecond. */
export function isoTime(wallMs: number): string {
  const ms = Math.floor(wallMs);
  if (ms !== at) {
    text = new Date(ms).toISOString();
    at = ms;
  }
  return text;
}
