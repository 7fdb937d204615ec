const CRLF_CRLF = Buffer.from('\r\n\r\n');

/**
 * The value of a plain field of a `multipart/form-data` body (RFC 7578), or undefined where there is none. Looks only at
 * the parts' heads: files are stepped over, not read.
 */
export function formField(body: Buffer, contentType: string, name: string): string | undefined {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) return undefined;
  const delimiter = Buffer.from(`--${boundary}`);
  let at = body.indexOf(delimiter);
  while (at >= 0) {
    const headStart = at + delimiter.length;
    const headEnd = body.indexOf(CRLF_CRLF, headStart);
    if (headEnd < 0) return undefined;
    const next = body.indexOf(delimiter, headEnd);
    if (namesField(body.toString('latin1', headStart, headEnd), name)) {
      // The line break before the delimiter belongs to it.
      return next < 0 ? undefined : body.toString('utf8', headEnd + CRLF_CRLF.length, next - 2);
    }
    at = next;
  }
  return undefined;
}

function boundaryOf(contentType: string): string | undefined {
  if (!/^multipart\/form-data\b/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

function namesField(head: string, name: string): boolean {
  const disposition = /^content-disposition:\s*form-data\b(.*)$/im.exec(head)?.[1] ?? '';
  return /;\s*name="?([^";]*)"?/i.exec(disposition)?.[1] === name;
}
