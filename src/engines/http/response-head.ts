/** What the worker sent is not HTTP/1.1 as this router reads it. The message says what is wrong with it. */
export class BadResponse extends Error {
  override readonly name = 'BadResponse';
}

/** How the end of a body is told (RFC 9112 6.3). */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  /** It ends with the connection. */
  | { readonly kind: 'close' };

export interface ResponseHead {
  readonly status: number;
  /** Latin-1; empty where it holds what may not be written again. */
  readonly statusText: string;
  /** Names as written and values, flat; Latin-1, one character a byte. */
  readonly headers: string[];
  readonly framing: Framing;
  /** Whether the connection may carry another request, as far as the head tells. */
  readonly keepAlive: boolean;
  /** `timeout` of the `Keep-Alive` header, in seconds. */
  readonly keepAliveSecs: number | undefined;
}

const NO_BODY: Framing = { kind: 'none' };
const CHUNKED: Framing = { kind: 'chunked' };
const UNTIL_CLOSE: Framing = { kind: 'close' };

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/s;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Anything but visible characters, blanks, tabs and bytes above 127. */
const NOT_IN_TEXT = /[^\t\x20-\x7e\x80-\xff]/;
const FRAMING_NAMES = /^(?:content-length|transfer-encoding)$/i;
const DIGITS = /^\d{1,15}$/;

/**
 * Reads the head of a response.
 *
 * @param text the head as Latin-1, without the empty line that ends it.
 * @param method of the request: the answer to HEAD has no body.
 * @throws BadResponse for whatever another reader could take for something else: bare line feeds, folded lines, blanks before
 *   the colon, lengths that contradict each other.
 */
export function readHead(text: string, method: string): ResponseHead {
  const lineEnd = text.indexOf('\r\n');
  const statusLine = lineEnd < 0 ? text : text.slice(0, lineEnd);
  const match = STATUS_LINE.exec(statusLine);
  if (!match) throw new BadResponse('it does not begin with an HTTP/1.1 status line');
  const [, minor, code = '', reason = ''] = match;
  if (reason.includes('\r') || reason.includes('\n'))
    throw new BadResponse('a line break in its status line');
  const headers: string[] = [];
  const fields = new FramingFields();
  for (let at = lineEnd < 0 ? text.length : lineEnd + 2; at < text.length;) {
    const next = text.indexOf('\r\n', at);
    const end = next < 0 ? text.length : next;
    addField(text.slice(at, end), headers, fields);
    at = end + 2;
  }
  const status = Number(code);
  return {
    status,
    statusText: NOT_IN_TEXT.test(reason) ? '' : reason,
    headers,
    framing: fields.framing(status, method),
    keepAlive: minor === '1' ? !fields.closes : fields.keepsAlive,
    keepAliveSecs: fields.keepAliveSecs,
  };
}

/** Readers do not agree on whether it belongs to the value. */
function refuseTab(line: string): void {
  if (line.includes('\t')) throw new BadResponse('a tab in a header that tells the length');
}

/** Reads the lines behind the last chunk. */
export function readTrailers(text: string): string[] {
  const trailers: string[] = [];
  for (const line of text === '' ? [] : text.split('\r\n')) addField(line, trailers, undefined);
  return trailers;
}

function addField(line: string, headers: string[], fields: FramingFields | undefined): void {
  const colon = line.indexOf(':');
  const name = line.slice(0, Math.max(0, colon));
  if (!TOKEN.test(name)) throw new BadResponse('a header line without a proper name');
  const value = trimmed(line, colon + 1);
  if (NOT_IN_TEXT.test(value)) throw new BadResponse('a control character in a header');
  headers.push(name, value);
  if (fields) fields.note(name, value, line);
  else if (FRAMING_NAMES.test(name)) throw new BadResponse('a length behind the body');
}

/** Without blanks and tabs at either end. */
function trimmed(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && isBlank(line.charCodeAt(start))) start += 1;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end -= 1;
  return line.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** What the fields say that tell where the body ends and whether the connection goes on. */
class FramingFields {
  closes = false;
  keepsAlive = false;
  keepAliveSecs: number | undefined;
  #length: number | undefined;
  #chunked = false;

  note(name: string, value: string, line: string): void {
    // Only these three lengths can be one of them, and most fields are none.
    switch (name.length) {
      case 10:
        this.#noteConnection(name.toLowerCase(), value);
        return;
      case 14:
        if (name.toLowerCase() === 'content-length') this.#noteLength(value, line);
        return;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') this.#noteCoding(value, line);
        return;
      default:
    }
  }

  #noteConnection(name: string, value: string): void {
    if (name === 'keep-alive') {
      const [, secs] = /(?:^|[,\s])timeout=(\d{1,9})(?:$|[,\s])/i.exec(value.slice(0, 256)) ?? [];
      this.keepAliveSecs = secs === undefined ? this.keepAliveSecs : Number(secs);
    } else if (name === 'connection') {
      for (const option of value.toLowerCase().split(',')) {
        const word = option.trim();
        if (word === 'close') this.closes = true;
        else if (word === 'keep-alive') this.keepsAlive = true;
      }
    }
  }

  #noteLength(value: string, line: string): void {
    refuseTab(line);
    if (this.#length !== undefined) throw new BadResponse('two Content-Length headers');
    if (!DIGITS.test(value)) throw new BadResponse('a Content-Length that is no number');
    this.#length = Number(value);
  }

  #noteCoding(value: string, line: string): void {
    refuseTab(line);
    if (this.#chunked || value.toLowerCase() !== 'chunked')
      throw new BadResponse('a Transfer-Encoding other than chunked');
    this.#chunked = true;
  }

  framing(status: number, method: string): Framing {
    if (this.#chunked && this.#length !== undefined)
      throw new BadResponse('both Content-Length and Transfer-Encoding');
    if (status < 200 || status === 204 || status === 304 || method === 'HEAD') return NO_BODY;
    if (this.#chunked) return CHUNKED;
    return this.#length === undefined ? UNTIL_CLOSE : { kind: 'length', length: this.#length };
  }
}
