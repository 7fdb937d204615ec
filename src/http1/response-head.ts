import { BadMessage } from './bad-message.ts';
import { readFieldLines, type Block } from './field-lines.ts';
import { FramingFields, NO_BODY, type Framing } from './framing-fields.ts';

export interface ResponseHead {
  readonly status: number;
  /** Latin-1; empty where it holds what may not be written again. */
  readonly statusText: string;
  /** Names as written and values, flat; Latin-1, one character a byte. */
  readonly headers: string[];
  readonly framing: ResponseFraming;
  /** Whether the connection may carry another request, as far as the head tells. */
  readonly keepAlive: boolean;
  /** `timeout` of the `Keep-Alive` header, in seconds. */
  readonly keepAliveSecs: number | undefined;
}

export type ResponseFraming =
  | Framing
  /** It ends with the connection. */
  | { readonly kind: 'close' };

const UNTIL_CLOSE: ResponseFraming = { kind: 'close' };

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/s;
/** Anything but visible characters, blanks, tabs and bytes above 127. */
const NOT_IN_TEXT = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * Reads the head of a response.
 *
 * @param method of the request: the answer to HEAD has no body.
 * @throws BadMessage for whatever another reader could take for something else.
 */
export function readResponseHead(block: Block, method: string): ResponseHead {
  const { text } = block;
  const lineEnd = text.indexOf('\r\n');
  const match = STATUS_LINE.exec(text.slice(0, lineEnd));
  if (!match) throw new BadMessage('it does not begin with an HTTP/1.1 status line');
  const [, minor, code = '', reason = ''] = match;
  if (reason.includes('\r') || reason.includes('\n')) throw new BadMessage('a line break in its status line');
  const fields = new ResponseFields();
  const headers = readFieldLines(block, lineEnd + 2, fields);
  const status = Number(code);
  return {
    status,
    statusText: NOT_IN_TEXT.test(reason) ? '' : reason,
    headers,
    framing: framingOf(fields, status, method),
    keepAlive: fields.keepAlive(Number(minor)),
    keepAliveSecs: fields.keepAliveSecs,
  };
}

function framingOf(fields: FramingFields, status: number, method: string): ResponseFraming {
  const framing = fields.framing() ?? UNTIL_CLOSE;
  return status < 200 || status === 204 || status === 304 || method === 'HEAD' ? NO_BODY : framing;
}

class ResponseFields extends FramingFields {
  keepAliveSecs: number | undefined;

  override note(name: string, value: string, text: string, from: number, to: number): void {
    if (name.length === 10 && name.toLowerCase() === 'keep-alive') {
      const [, secs] = /(?:^|[,\s])timeout=(\d{1,9})(?:$|[,\s])/i.exec(value.slice(0, 256)) ?? [];
      this.keepAliveSecs = secs === undefined ? this.keepAliveSecs : Number(secs);
    } else {
      super.note(name, value, text, from, to);
    }
  }
}
