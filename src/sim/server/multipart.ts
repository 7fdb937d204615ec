export interface Part {
  readonly name: string;
  readonly filename: string | undefined;
  readonly data: Buffer;
}

const MAX_PARTS = 64;

/** The parts of a multipart/form-data body; undefined when it is not one, is broken or has too many. */
export function parseMultipart(contentType: string, body: Buffer): readonly Part[] | undefined {
  const match = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined) return undefined;
  // With a line end in front of the first one, every boundary looks the same.
  const text = Buffer.concat([Buffer.from('\r\n'), body]);
  const mark = Buffer.from(`\r\n--${boundary}`);
  const parts: Part[] = [];
  let at = text.indexOf(mark);
  while (at >= 0) {
    const start = at + mark.length;
    if (text.toString('latin1', start, start + 2) === '--') return parts;
    const next = text.indexOf(mark, start);
    const headEnd = text.indexOf('\r\n\r\n', start);
    if (next < 0 || headEnd < 0 || headEnd > next || parts.length === MAX_PARTS) return undefined;
    const head = text.toString('utf8', start, headEnd);
    const name = /\bname="([^"]*)"/i.exec(head)?.[1];
    if (name === undefined) return undefined;
    const filename = /\bfilename="([^"]*)"/i.exec(head)?.[1];
    parts.push({ name, filename, data: text.subarray(headEnd + 4, next) });
    at = next;
  }
  return undefined;
}
