import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ERRORS, needsRetryAfter } from '../base/errors.ts';
import type { EdgeResponse } from './edge-response.ts';
import { linger } from './linger.ts';

/** Why bytes never became a request: malformed, oversized or slow heads, somebody who may not call. */
export type RefusalCode =
  'headers_too_large' | 'body_timeout' | 'invalid_request' | 'client_certificate_refused';

const REASONS: Readonly<Record<RefusalCode, string>> = {
  headers_too_large: 'Request Header Fields Too Large',
  body_timeout: 'Request Timeout',
  invalid_request: 'Bad Request',
  client_certificate_refused: 'Forbidden',
};

const MESSAGES: Readonly<Record<RefusalCode, string>> = {
  headers_too_large: 'the request head is too large',
  body_timeout: 'the request head arrived too slowly',
  invalid_request: 'the request is not valid HTTP/1.1',
  client_certificate_refused: 'a client certificate is required',
};

/** Answers where there is no response object, and ends the connection. */
export function refuseOn(socket: Duplex, code: RefusalCode, message = MESSAGES[code]): void {
  const { status, headers, body } = refusal(code, message);
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${status} ${REASONS[code]}\r\n${fields.join('')}\r\n${body}`);
  if (socket instanceof Socket) linger(socket);
  else socket.end();
}

/** The same where there is one. */
export function refuseRequest(res: EdgeResponse, code: RefusalCode, message = MESSAGES[code]): void {
  const { status, headers, body } = refusal(code, message);
  res.endConnection();
  res.writeHead(status, REASONS[code], Object.entries(headers).flat());
  res.end(body);
}

interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function refusal(code: RefusalCode, message: string): Refusal {
  const { status, type } = ERRORS[code];
  const body = JSON.stringify({ error: { message, type, param: null, code } });
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...(needsRetryAfter(status) ? { 'retry-after': '1' } : {}),
    connection: 'close',
  };
  return { status, headers, body };
}
