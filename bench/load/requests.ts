import { seededRandom } from '../../src/base/random.ts';
import { MODEL } from './canned-answers.ts';

/** Complete requests, written to the socket as they are; taken in turn. */
export interface RequestMix {
  next(): Buffer;
}

export type BodyKind = 'small' | 'large' | 'stream';

const BODY_BYTES: Readonly<Record<BodyKind, number>> = { small: 2 * 1024, large: 220_000, stream: 2 * 1024 };
const DISTINCT: Readonly<Record<BodyKind, number>> = { small: 1024, large: 16, stream: 1024 };
/** Conversations that begin with the same system prompt, as those of one application do. */
const SYSTEM_PROMPTS = 16;
const SYSTEM_CHARS = 600;

const WORDS =
  'the a of to and in is it for with on that as are this from by or an be at was not have which you will can request'.split(
    ' ',
  );

/**
 * Chats of one size. Different conversations, some of which share their beginning, in a repeatable order: what a cache
 * index has to deal with, neither all alike nor all new.
 */
export function requestMix(kind: BodyKind): RequestMix {
  const random = seededRandom(7);
  const systems = Array.from({ length: SYSTEM_PROMPTS }, () => prose(random, SYSTEM_CHARS));
  const requests = Array.from({ length: DISTINCT[kind] }, (_, index) =>
    request(systems[index % SYSTEM_PROMPTS] ?? '', BODY_BYTES[kind], kind === 'stream', random),
  );
  let at = 0;
  return { next: () => requests[at++ % requests.length] ?? Buffer.alloc(0) };
}

function request(system: string, bytes: number, stream: boolean, random: () => number): Buffer {
  const chat = (question: string): string =>
    JSON.stringify({
      model: MODEL,
      messages: [
        { role: 'system', content: system },
        { role: 'user', content: question },
      ],
      max_tokens: 256,
      temperature: 0.7,
      ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
    });
  const body = chat(prose(random, bytes - chat('').length));
  return Buffer.from(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\ncontent-type: application/json\r\n` +
      `user-agent: AsyncOpenAI/Python 2.8.0\r\nauthorization: Bearer sk-bench-0123456789abcdef\r\nx-stainless-lang: python\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
  );
}

function prose(random: () => number, length: number): string {
  let text = '';
  while (text.length < length) text += `${WORDS[Math.floor(random() * WORDS.length)] ?? ''} `;
  return text.slice(0, length);
}
