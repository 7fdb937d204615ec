import type { Random } from '../../../src/base/random.ts';
import { below, oneOf } from '../mutate.ts';
import { bodyBytes, digest, inChunks } from './random-bytes.ts';

/** `close`: it ends with the connection. `bodiless`: 204. */
export const FRAMINGS = ['length', 'chunks', 'events', 'close', 'bodiless'] as const;
export type AnswerFraming = (typeof FRAMINGS)[number];

const OFTEN: readonly AnswerFraming[] = [
  ...FRAMINGS,
  'length',
  'length',
  'chunks',
  'chunks',
  'events',
  'events',
];

export interface Answer {
  readonly framing: AnswerFraming;
  readonly bytes: Buffer;
  readonly endsConnection: boolean;
}

/** A random answer with these header lines, which says what its body is in one more. */
export function randomAnswer(method: string, lines: string, random: Random): Answer {
  // Only a length says something of a body that does not come.
  const framing = method === 'HEAD' ? 'length' : oneOf(random, OFTEN);
  const body =
    framing === 'bodiless' ? Buffer.alloc(0) : framing === 'events' ? events(random) : bodyBytes(random);
  const endsConnection = framing === 'close' || random() < 0.02;
  const head = [
    framing === 'bodiless'
      ? 'HTTP/1.1 204 No Content'
      : oneOf(random, ['HTTP/1.1 200 OK', 'HTTP/1.1 404 Not Found']),
    `Content-Type: ${framing === 'events' ? 'text/event-stream' : 'application/octet-stream'}`,
    `x-body: ${digest(method === 'HEAD' ? Buffer.alloc(0) : body)}`,
    ...(framing === 'length' ? [`Content-Length: ${body.length}`] : []),
    ...(framing === 'chunks' || framing === 'events' ? ['Transfer-Encoding: chunked'] : []),
    ...(endsConnection ? ['Connection: close'] : []),
  ];
  const interim = random() < 0.05 ? 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' : '';
  const written = framing === 'chunks' || framing === 'events' ? inChunks(body, random) : body;
  return {
    framing,
    endsConnection,
    bytes: Buffer.concat([
      Buffer.from(`${interim}${head.join('\r\n')}\r\n${lines}\r\n`),
      method === 'HEAD' ? Buffer.alloc(0) : written,
    ]),
  };
}

function events(random: Random): Buffer {
  const texts = Array.from({ length: below(random, 20) }, () => {
    const text = bodyBytes(random).toString('base64', 0, 300);
    return `data: {"choices":[{"index":0,"text":"${text}"}]}\n\n`;
  });
  return Buffer.from(`${texts.join('')}data: [DONE]\n\n`);
}
