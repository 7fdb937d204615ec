import type { Random } from '../../src/base/random.ts';
import { below, oneOf } from './mutate.ts';

const STATUS_LINES = [
  '200 OK',
  '200 ',
  '200',
  '404 Not Found',
  '503 S\xe4d',
  '204 No Content',
  '304 Not Modified',
];
const FIELDS = [
  ...[
    'Content-Type: application/json',
    'Server: uvicorn',
    'X-A:b',
    'X-Empty:',
    'X-Tab:\tx\t',
    'Connection: close',
  ],
  ...[
    'Connection: keep-alive',
    'Keep-Alive: timeout=5',
    'Date: Mon, 30 Nov 2026 00:00:00 GMT',
    'X-Latin: \xe9',
  ],
];

/** A response as a worker might send it: one in three ways of telling where the body ends, interim ones before it. */
export function responseText(random: Random): string {
  const interim =
    random() < 0.1
      ? oneOf(random, ['HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n'])
      : '';
  const version = random() < 0.1 ? 'HTTP/1.0' : 'HTTP/1.1';
  const fields = Array.from({ length: below(random, 4) }, () => oneOf(random, FIELDS));
  const body = Array.from({ length: below(random, 4) }, () =>
    oneOf(random, ['data: x\n\n', '{}', '\r\n', 'a', 'hello']),
  );
  const framing = below(random, 3);
  if (framing === 0) fields.push(`Content-Length: ${body.join('').length}`);
  if (framing === 1) fields.push('Transfer-Encoding: chunked');
  const head = `${version} ${oneOf(random, STATUS_LINES)}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
  return `${interim}${head}${framing === 1 ? chunks(body, random) : body.join('')}`;
}

function chunks(body: readonly string[], random: Random): string {
  const sized = body.map((part) => {
    const size =
      random() < 0.5 ? part.length.toString(16) : part.length.toString(16).toUpperCase().padStart(3, '0');
    return `${size}${random() < 0.1 ? ';name="value"' : ''}\r\n${part}\r\n`;
  });
  return `${sized.join('')}0\r\n${random() < 0.1 ? 'X-Trailer: t\r\n' : ''}\r\n`;
}
