const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT, COMMA, LINE_FEED] = [
  ...Buffer.from('"\\[]{},\n'),
];
const BYTE_ORDER_MARK = Buffer.from('\uFEFF');

/** One item of a JSON array, as it stands in the file. */
export interface JsonItem {
  /** Where it begins; lines count from 1. */
  readonly line: number;
  readonly text: string;
  /** The file ended within it. */
  readonly cut: boolean;
}

/**
 * Cuts a JSON array into its items without parsing it, so that each can be wrong by itself and none of them has to fit
 * into one string with all others. Returns false where the file does not begin as an array.
 */
export function* jsonItems(bytes: Buffer): Generator<JsonItem, boolean> {
  let at = bytes.indexOf(BYTE_ORDER_MARK) === 0 ? BYTE_ORDER_MARK.length : 0;
  let line = 1;
  for (; isSpace(bytes[at]); at += 1) if (bytes[at] === LINE_FEED) line += 1;
  if (bytes[at] !== OPEN_LIST) return false;
  let [from, fromLine, depth, quoted] = [at + 1, line, 0, false];
  for (at += 1; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === LINE_FEED) line += 1;
    if (quoted) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) quoted = false;
      continue;
    }
    if (at === from && isSpace(byte)) {
      from += 1;
      fromLine = line;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth += 1;
    else if (depth > 0 && (byte === CLOSE_OBJECT || byte === CLOSE_LIST)) depth -= 1;
    else if (depth === 0 && (byte === COMMA || byte === CLOSE_LIST)) {
      if (at > from || byte === COMMA)
        yield { line: fromLine, text: bytes.toString('utf8', from, at), cut: false };
      if (byte === CLOSE_LIST) return true;
      from = at + 1;
      fromLine = line;
    }
  }
  yield { line: fromLine, text: bytes.toString('utf8', from), cut: true };
  return true;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}
