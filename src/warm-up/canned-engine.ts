import type { Socket } from 'node:net';

export const MODEL = 'warm-up';

const ANSWER_HEAD = 'HTTP/1.1 200 OK\r\ndate: Tue, 03 Nov 2026 09:00:00 GMT\r\nserver: uvicorn\r\n';
const USAGE = { prompt_tokens: 240, total_tokens: 256, completion_tokens: 16 };
const OK = jsonAnswer({});
const MODELS = jsonAnswer({
  object: 'list',
  data: [{ id: MODEL, object: 'model', created: 1, owned_by: 'vllm' }],
});
const CHAT = jsonAnswer({
  ...{ id: 'chatcmpl-0', object: 'chat.completion', created: 1, model: MODEL, usage: USAGE },
  choices: [
    { index: 0, message: { role: 'assistant', content: ' token'.repeat(16) }, finish_reason: 'stop' },
  ],
});
const STREAM_HEAD = Buffer.from(
  `${ANSWER_HEAD}content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n`,
);
const EVENT = chunk(event({ choices: [{ index: 0, delta: { content: ' token' }, finish_reason: null }] }));
const STREAM_END = Buffer.concat([
  chunk(event({ choices: [], usage: USAGE })),
  chunk('data: [DONE]\n\n'),
  Buffer.from('0\r\n\r\n'),
]);
const EVENTS = 8;

/** Says on this connection what vLLM would: health, models, chats and streams of chats. Reads the router's requests, nobody else's. */
export function answerAsEngine(socket: Socket): void {
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const [, length = '0'] = /content-length: (\d+)/i.exec(text) ?? [];
    if (text.length < headEnd + 4 + Number(length)) return;
    const isStream = text.includes('"stream":true');
    const isChat = text.startsWith('POST');
    const isList = text.slice(0, 64).includes('/v1/models');
    text = '';
    if (isStream) sendStream(socket);
    else socket.write(isChat ? CHAT : isList ? MODELS : OK);
  });
  // The router that asks may go at any time.
  socket.on('error', () => socket.destroy());
}

/** One event a turn of the loop, as an engine that decodes sends them. */
function sendStream(socket: Socket): void {
  socket.write(STREAM_HEAD);
  let left = EVENTS;
  const send = (): void => {
    socket.write(left > 0 ? EVENT : STREAM_END);
    left -= 1;
    if (left >= 0 && !socket.destroyed) setImmediate(send);
  };
  setImmediate(send);
}

function jsonAnswer(value: unknown): Buffer {
  const body = JSON.stringify(value);
  return Buffer.from(
    `${ANSWER_HEAD}content-length: ${body.length}\r\ncontent-type: application/json\r\n\r\n${body}`,
  );
}

function event(fields: object): string {
  const shared = { id: 'chatcmpl-0', object: 'chat.completion.chunk', created: 1, model: MODEL };
  return `data: ${JSON.stringify({ ...shared, ...fields })}\n\n`;
}

function chunk(data: string): Buffer {
  return Buffer.from(`${data.length.toString(16)}\r\n${data}\r\n`);
}
