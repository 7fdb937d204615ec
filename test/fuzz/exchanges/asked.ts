import type { Random } from '../../../src/base/random.ts';
import { below, oneOf } from '../mutate.ts';
import { bodyBytes, digest, inChunks } from './random-bytes.ts';

/** A request as it goes out, and what must come of it. */
export interface Asked {
  /** Its number among all: the worker says it again. */
  readonly exchange: string;
  readonly method: string;
  readonly bytes: Buffer;
  /** Of its body. */
  readonly digest: string;
}

/** Read as JSON for their model and prompt, passed on as they come, without a body. */
const KINDS = ['json', 'json', 'opaque', 'opaque', 'bodiless'] as const;
const JSON_PATHS = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
];
const OPAQUE_PATHS = ['/v1/audio/transcriptions', '/unknown/upload', '/x?y=z'];

/** @param isLast the connection ends behind it. */
export function randomRequest(exchange: number, isLast: boolean, random: Random): Asked {
  const kind = oneOf(random, KINDS);
  const method = kind === 'bodiless' ? oneOf(random, ['GET', 'HEAD', 'DELETE']) : 'POST';
  const target = kind === 'json' ? oneOf(random, JSON_PATHS) : oneOf(random, OPAQUE_PATHS);
  const body = kind === 'json' ? jsonBody(random) : kind === 'opaque' ? bodyBytes(random) : Buffer.alloc(0);
  const isChunked = kind !== 'bodiless' && random() < 0.4;
  const head = [
    `${method} ${target} HTTP/1.1`,
    'Host: r',
    `x-exchange: ${exchange}`,
    ...(kind === 'bodiless' ? [] : [`Content-Type: ${kind === 'json' ? 'application/json' : 'text/plain'}`]),
    ...(isChunked ? ['Transfer-Encoding: chunked'] : []),
    ...(kind !== 'bodiless' && !isChunked ? [`Content-Length: ${body.length}`] : []),
    ...(random() < 0.3 ? [`X-Padding: ${'p'.repeat(below(random, 2_000))}`] : []),
    // It does not wait for the answer.
    ...(body.length > 0 && random() < 0.05 ? ['Expect: 100-continue'] : []),
    ...(isLast ? ['Connection: close'] : []),
  ];
  const bytes = Buffer.concat([
    Buffer.from(`${head.join('\r\n')}\r\n\r\n`),
    isChunked ? inChunks(body, random) : body,
  ]);
  return { exchange: String(exchange), method, bytes, digest: digest(body) };
}

function jsonBody(random: Random): Buffer {
  const text = bodyBytes(random).toString('base64');
  const members = [
    '"model":"sim-model"',
    `"stream":${random() < 0.5}`,
    `"prompt":"${text}","input":"${text.slice(0, 50)}"`,
    `"messages":[{"role":"user","content":"${text}"}]`,
    '"max_tokens": 5',
  ];
  return Buffer.from(`{${members.join(oneOf(random, [',', ', ', ',\r\n']))}}`);
}
