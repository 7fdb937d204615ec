/** How the end of a body is told: it has none, its length was told, it comes in chunks, or the connection ends with it. */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'close';

export interface AnswerFacts {
  readonly status: number;
  readonly reason: string;
  /** Flat; `connection` may say `close`, `content-length` how long the body is. */
  readonly headers: readonly string[];
  /** Of the request: the answer to HEAD has no body. */
  readonly method: string;
  readonly httpVersion: '1.0' | '1.1';
  readonly keepAlive: boolean;
  readonly keepAliveSecs: number;
}

export interface AnswerHead {
  readonly text: string;
  readonly framing: BodyFraming;
  /** Whether the connection may carry another answer. */
  readonly keepAlive: boolean;
}

/** Anything but visible characters, blanks, tabs and bytes above 127. */
const NOT_IN_TEXT = /[^\t\x20-\x7e\x80-\xff]/;

/** Writes the head of an answer: what is given, and date, connection and framing as they have to be. */
export function answerHead(input: AnswerFacts): AnswerHead {
  const { status, reason, headers, method, httpVersion, keepAliveSecs } = input;
  let { keepAlive } = input;
  let hasLength = false;
  let hasDate = false;
  let saysConnection = false;
  if (NOT_IN_TEXT.test(reason)) throw new TypeError('a control character in a status line');
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    if (NOT_IN_TEXT.test(value)) throw new TypeError(`a character that no header may hold, in ${name}`);
    switch (name.length) {
      case 4:
        hasDate ||= name.toLowerCase() === 'date';
        break;
      case 10:
        if (name.toLowerCase() !== 'connection') break;
        saysConnection = true;
        keepAlive &&= value.toLowerCase() !== 'close';
        break;
      case 14:
        hasLength ||= name.toLowerCase() === 'content-length';
    }
    text += `${name}: ${value}\r\n`;
  }
  const framing = framingOf(status, method, hasLength, httpVersion);
  if (framing === 'close') keepAlive = false;
  if (!hasDate) text += dateLine();
  if (!saysConnection)
    text += keepAlive
      ? `Connection: keep-alive\r\nKeep-Alive: timeout=${keepAliveSecs}\r\n`
      : 'Connection: close\r\n';
  text += tellsChunks(status, hasLength, httpVersion) ? 'Transfer-Encoding: chunked\r\n\r\n' : '\r\n';
  return { text, framing, keepAlive };
}

function framingOf(status: number, method: string, hasLength: boolean, version: string): BodyFraming {
  if (method === 'HEAD' || status === 204 || status === 304) return 'none';
  if (hasLength) return 'length';
  return version === '1.1' ? 'chunked' : 'close';
}

/** The answer to HEAD says what that to GET would. */
function tellsChunks(status: number, hasLength: boolean, version: string): boolean {
  return !hasLength && status !== 204 && status !== 304 && version === '1.1';
}

let second = 0;
let line = '';

/** RFC 9110 6.6.1; made once a second. */
function dateLine(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    line = `Date: ${new Date(now * 1000).toUTCString()}\r\n`;
  }
  return line;
}
