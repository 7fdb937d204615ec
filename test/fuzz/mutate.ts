import type { Random } from '../../src/base/random.ts';

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

export function oneOf<One>(random: Random, list: readonly One[]): One {
  const one = list[below(random, list.length)];
  if (one === undefined) throw new RangeError('an empty list');
  return one;
}

/** What makes readers of HTTP disagree. */
export const SPICES = [
  ...['\r', '\n', '\r\n', '\r\n\r\n', '\n\n', ' ', '\t', '\0', ':', ',', ';', '\x0b', '\x7f', '\x80', '\xff'],
  ...['chunked', 'Transfer-Encoding: chunked\r\n', 'Content-Length: 5\r\n', 'Content-Length: +5\r\n'],
  ...[
    'Transfer-Encoding: gzip, chunked\r\n',
    'Transfer-Encoding: identity\r\n',
    ' folded\r\n',
    'Upgrade: h2c\r\n',
  ],
  ...[
    'Connection: close\r\n',
    'Content-Length:\r\n',
    '0\r\n\r\n',
    '0x5\r\n',
    '-1\r\n',
    '00000000000000005\r\n',
  ],
  ...[
    'ffffffffffffffff\r\n',
    '5;a=b\r\n',
    '5 ;a\r\n',
    'HTTP/1.0 ',
    'HTTP/1.1 ',
    'HTTP/2.0 ',
    '100',
    '101',
    '204',
    '304',
  ],
];

/** The text with a few accidents; Latin-1, one character a byte. */
export function mutated(text: string, random: Random, spices: readonly string[] = SPICES): string {
  let now = text;
  for (let turns = below(random, 4); turns > 0; turns -= 1) now = mutatedOnce(now, random, spices);
  return now;
}

function mutatedOnce(text: string, random: Random, spices: readonly string[]): string {
  const at = below(random, text.length + 1);
  const span = 1 + below(random, 4);
  switch (below(random, 6)) {
    case 0:
      return text.slice(0, at) + oneOf(random, spices) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + span);
    case 2:
      return text.slice(0, at) + String.fromCharCode(below(random, 256)) + text.slice(at + 1);
    case 3:
      return text.slice(0, at) + oneOf(random, spices) + text.slice(at + span);
    case 4:
      return withLine(text, random, (line) => `${line}\r\n${line}`);
    default:
      return withLine(text, random, (line) => {
        const blank = oneOf(random, [' ', '\t', '\xa0', '\x0b', oneOf(random, spices)]);
        return oneOf(random, [
          line.toUpperCase(),
          `${blank}${line}`,
          `${line}${blank}`,
          line.replace(':', `${blank}:`),
          line.replace(':', `:${blank}`),
          line.replace(';', `${blank};`),
        ]);
      });
  }
}

function withLine(text: string, random: Random, change: (line: string) => string): string {
  const lines = text.split('\r\n');
  const at = below(random, lines.length);
  return lines.map((line, index) => (index === at ? change(line) : line)).join('\r\n');
}

/** The bytes, cut anywhere. */
export function pieces(bytes: Buffer, random: Random): Buffer[] {
  const most = oneOf(random, [1, 7, 50, bytes.length + 1]);
  const cut: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + below(random, most));
    cut.push(bytes.subarray(at, end));
    at = end;
  }
  return cut;
}
