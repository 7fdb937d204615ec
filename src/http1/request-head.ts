import { METHODS } from 'node:http';
import { BadMessage } from './bad-message.ts';
import { behind, BLANK, IN_TARGET, IN_TOKEN } from './characters.ts';
import { readFieldLines, textOf, type Block, type FieldReader } from './field-lines.ts';
import { FramingFields, NO_BODY, TRAILER_LINES, type Framing } from './framing-fields.ts';

export interface RequestHead {
  readonly method: string;
  /** As written: a path, or an http or https URL. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** Names as written and values, flat; Latin-1, one character a byte. */
  readonly headers: string[];
  readonly framing: Framing;
  /** Whether another request may follow on the connection, as far as the head tells. */
  readonly keepAlive: boolean;
  /** Whether the client may wait for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  /** Whether it expects something else, which nobody can meet (417). */
  readonly expectsUnknown: boolean;
  /** What it would switch to, where `Connection` says that this hop is meant. */
  readonly upgrade: string | undefined;
}

const UNSOUND_FRAMING = 'a body ends by its length or by chunking, and by nothing else';
const UNSOUND_TARGET = 'the target must be a path, or an http or https URL';
const UNSOUND_HOST = 'exactly one Host header is needed, with the name of a host';

/** To another server, as it were: a tunnel through this one is not on offer, and its head would end what can be read as HTTP. */
const REFUSED = 'CONNECT';
const KNOWN = new Set(METHODS.filter((method) => method !== REFUSED));
/** What may have come of a request line whose method is not whole. */
const BEGINNINGS = new Set([...KNOWN].flatMap(beginningsOf));
const LONGEST_METHOD = Math.max(...METHODS.map(({ length }) => length));
const SLASH = 0x2f;
const VERSION = ' HTTP/1.';
const DIGIT_0 = 0x30;

/** `OPTIONS *` asks for a server as a whole, which is no worker's to answer; other schemes are for other proxies. */
const HTTP_URL = /^https?:\/\/(?=[^/?])[\w\-.!~*'()%;:&=+$,[\]]*(?:@[\w\-.!~*'()%;:&=+$,[\]]*)?(?:[/?]|$)/i;

/** A name or an address, and perhaps a port (RFC 9110 7.2); an empty one is allowed. */
const HOST = /^(?:\[[\da-f:.]+(?:%25[\w.~-]+)?\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*)(?::\d{0,5})?$/i;

const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i;

/**
 * Reads the head of a request.
 *
 * @throws BadMessage for whatever another reader could take for something else, and for what is not for a router to answer.
 */
export function readRequestHead(block: Block): RequestHead {
  const { bytes, start, text } = block;
  const methodEnd = behind(IN_TOKEN, bytes, start);
  const method = text.slice(0, methodEnd - start);
  if (bytes[methodEnd] !== BLANK || !KNOWN.has(method)) throw unknownMethod(method);
  const targetStart = methodEnd + 1;
  const targetEnd = behind(IN_TARGET, bytes, targetStart);
  const target = textOf(block, targetStart, targetEnd);
  const versionEnd = targetEnd + VERSION.length + 1;
  const minorVersion = (bytes[versionEnd - 1] ?? 0) - DIGIT_0;
  if (
    targetEnd === targetStart ||
    !text.startsWith(VERSION, targetEnd - start) ||
    (minorVersion !== 0 && minorVersion !== 1) ||
    !text.startsWith('\r\n', versionEnd - start)
  )
    throw new BadMessage('it does not begin with an HTTP/1.1 request line');
  const fields = new RequestFields();
  const headers = readFieldLines(block, versionEnd + 2 - start, fields);
  const framing = fields.framing() ?? NO_BODY;
  if (framing.kind === 'chunked' && minorVersion === 0) throw new BadMessage(UNSOUND_FRAMING);
  if (bytes[targetStart] !== SLASH && !HTTP_URL.test(target)) throw new BadMessage(UNSOUND_TARGET);
  fields.checkHost(minorVersion);
  const expects = minorVersion === 1 ? fields.expect : undefined;
  const expectsContinue = expects !== undefined && CONTINUE.test(expects);
  return {
    method,
    target,
    minorVersion,
    headers,
    framing,
    keepAlive: fields.keepAlive(minorVersion),
    expectsContinue,
    expectsUnknown: expects !== undefined && !expectsContinue,
    upgrade: fields.upgrades ? fields.upgrade : undefined,
  };
}

/**
 * Looks at the first bytes of a head that is not whole.
 * @throws BadMessage
 */
export function checkRequestBeginning(bytes: Buffer): void {
  const begun = bytes.toString('latin1', 0, LONGEST_METHOD + 1);
  const blank = begun.indexOf(' ');
  if (blank < 0 ? !BEGINNINGS.has(begun) : !KNOWN.has(begun.slice(0, blank))) throw unknownMethod(begun);
}

function beginningsOf(word: string): string[] {
  return Array.from({ length: word.length }, (_, at) => word.slice(0, at + 1));
}

function unknownMethod(method: string): BadMessage {
  return new BadMessage(
    method.startsWith(REFUSED)
      ? 'tunnels by CONNECT are not offered'
      : 'it does not begin with a known method',
  );
}

/** Of a request, where readers do not agree on whether they end the connection. */
export const REQUEST_TRAILER_LINES: FieldReader = {
  note(name, value, text, from, to) {
    TRAILER_LINES.note(name, value, text, from, to);
    if (name.toLowerCase() === 'connection') throw new BadMessage('a Connection header behind the body');
  },
};

/** Several fields of one name are one list. */
function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

class RequestFields extends FramingFields {
  #host: string | undefined;
  expect: string | undefined;
  upgrade: string | undefined;

  override note(name: string, value: string, text: string, from: number, to: number): void {
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === 'host') this.#noteHost(value);
        return;
      case 6:
        if (name.toLowerCase() === 'expect') this.expect = joined(this.expect, value);
        return;
      case 7:
        if (value !== '' && name.toLowerCase() === 'upgrade') this.upgrade = joined(this.upgrade, value);
        return;
      default:
        super.note(name, value, text, from, to);
    }
  }

  /** RFC 9112 3.2: of two names a hop before us may have gone by the other one. */
  #noteHost(value: string): void {
    if (this.#host !== undefined || !HOST.test(value)) throw new BadMessage(UNSOUND_HOST);
    this.#host = value;
  }

  checkHost(minorVersion: number): void {
    if (this.#host === undefined && minorVersion === 1) throw new BadMessage(UNSOUND_HOST);
  }

  /** Codings other than chunked would be lost on the way, and HTTP/1.0 knows none (RFC 9112 6.1). */
  protected override refuse(): never {
    throw new BadMessage(UNSOUND_FRAMING);
  }
}
