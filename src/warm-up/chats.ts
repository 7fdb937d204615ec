import { connect } from 'node:net';
import { MODEL } from './canned-engine.ts';

/** One connection to the router, with one chat on it at a time. */
export interface Client {
  /** Resolves when the answer has come whole. */
  ask(request: string): Promise<void>;
  close(): void;
}

/** Of this many chats one is streamed. */
const PER_STREAM = 4;
const SENTENCE =
  'What the first request of a process meets has never run before, and what has never run is slow. ';

export function openClient(port: number): Promise<Client> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    let settle: { readonly done: () => void; readonly failed: (error: Error) => void } | undefined;
    let text = '';
    socket.once('connect', () => {
      resolve({
        ask: (request) =>
          new Promise((done, failed) => {
            settle = { done, failed };
            socket.write(request);
          }),
        close: () => socket.destroy(),
      });
    });
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (!isWhole(text)) return;
      text = '';
      settle?.done();
    });
    socket.on('error', reject);
    socket.on('close', () => settle?.failed(new Error('the router closed the connection')));
  });
}

/** Chats that share their beginning, as those of one application do. */
export function chatOn(client: Client, number: number): Promise<void> {
  const stream = number % PER_STREAM === 0;
  const body = JSON.stringify({
    model: MODEL,
    messages: [
      { role: 'system', content: SENTENCE.repeat(8) },
      { role: 'user', content: `${number} ${SENTENCE.repeat(12)}` },
    ],
    max_tokens: 16,
    ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
  });
  return client.ask(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\ncontent-type: application/json\r\n' +
      `user-agent: vllm-router\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

/** The router's answers are chunked, or have a length. */
function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const [, length] = /content-length: (\d+)/i.exec(text.slice(0, headEnd)) ?? [];
  return length === undefined ? text.endsWith('0\r\n\r\n') : text.length >= headEnd + 4 + Number(length);
}
