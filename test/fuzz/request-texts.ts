import type { Random } from '../../src/base/random.ts';
import { below, oneOf, SPICES } from './mutate.ts';

const METHODS = [
  'GET',
  'POST',
  'POST',
  'PUT',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'M-SEARCH',
  'QUERY',
];
const TARGETS = [
  '/',
  '/v1/chat/completions',
  '/a?b=/c&d',
  '//a/../b',
  '/%2e%2e/#x',
  'http://a:1/b?c',
  'HTTPS://u@a',
];
const FIELDS = [
  ...[
    'Content-Type: application/json',
    'User-Agent: x/1 (y)',
    'X-A:b',
    'X-Empty:',
    'X-Tab:\tx\t',
    'X-Latin: \xe9',
  ],
  ...[
    'Accept: */*',
    'Authorization: Bearer sk-1',
    'Expect: 100-continue',
    'Cookie: a=b; c=d',
    'TE: trailers',
  ],
  ...['Connection: keep-alive', 'Connection: keep-alive, Upgrade', 'Upgrade: h2c', 'Keep-Alive: timeout=5'],
];
const HOSTS = ['Host: r', 'Host: r', 'Host: 127.0.0.1:8000', 'host:[::1]:1', 'Host:'];
const PARTS = ['{"model":"m"}', '{}', '\r\n', 'a', 'GET / HTTP/1.1\r\n\r\n', '0\r\n\r\n'];

/** What makes readers of requests disagree. */
export const REQUEST_SPICES = [
  ...SPICES,
  ...[
    'GET ',
    'CONNECT ',
    'PRI * HTTP/2.0\r\n\r\n',
    'SOURCE / ICE/1.0\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    ' HTTP/1.1\r\n',
  ],
  ...['/', ' * ', '//', '://', '@', '#', '?', '%', '\\', '[', '*', '{', '"', '\xa0', 'http://', 'ftp://a/'],
  ...[
    'Host: a\r\n',
    'Host: a b\r\n',
    'Host:\r\n',
    'Connection: upgrade\r\nUpgrade: websocket\r\n',
    'Connection: ',
  ],
  ...[
    'Expect: 100-continue\r\n',
    'close',
    'keep-alive',
    'upgrade',
    'Transfer-Encoding: chunked, chunked\r\n',
    '+',
    '0x',
  ],
];

/** One to four requests as a client might send them without waiting, told apart by length, by chunks or by having no body. */
export function requestsText(random: Random): string {
  const requests = Array.from({ length: 1 + below(random, 4) }, () => requestText(random));
  return requests.join(random() < 0.1 ? '\r\n' : '');
}

function requestText(random: Random): string {
  const version = random() < 0.1 ? 'HTTP/1.0' : 'HTTP/1.1';
  const fields = Array.from({ length: below(random, 5) }, () => oneOf(random, FIELDS));
  fields.splice(below(random, fields.length + 1), 0, oneOf(random, HOSTS));
  if (random() < 0.05) fields.push('Connection: close');
  const body = Array.from({ length: below(random, 4) }, () => oneOf(random, PARTS));
  const framing = below(random, 3);
  if (framing === 0) fields.push(`Content-Length: ${body.join('').length}`);
  if (framing === 1) fields.splice(below(random, fields.length + 1), 0, 'Transfer-Encoding: chunked');
  const lines = [`${oneOf(random, METHODS)} ${oneOf(random, TARGETS)} ${version}`, ...fields];
  const head = lines.map((line) => `${line}\r\n`).join('');
  return `${head}\r\n${framing === 0 ? body.join('') : framing === 1 ? chunks(body, random) : ''}`;
}

function chunks(body: readonly string[], random: Random): string {
  const sized = body.map((part) => {
    const size = part.length.toString(16);
    const written = random() < 0.5 ? size : size.toUpperCase().padStart(3, '0');
    return `${written}${random() < 0.1 ? ';name="value"' : ''}\r\n${part}\r\n`;
  });
  return `${sized.join('')}0\r\n${random() < 0.1 ? 'X-Trailer: t\r\n' : ''}\r\n`;
}
