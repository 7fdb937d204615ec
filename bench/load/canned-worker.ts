/**
 * A worker whose answers are bytes prepared beforehand, so cheap that it is never what is measured. It speaks as much of
 * vLLM as a router asks for: health, models, version, a chat answer and a chat stream. One server-sent event per open
 * stream and step, as an engine that decodes its running requests together emits them.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { MessageReader } from './message-reader.ts';

export const MODEL = 'bench-model';
/** A request with this header gets a stream; asking the body would mean to keep it. */
export const STREAM_HEADER = 'x-bench: stream';

export interface Pace {
  /** Events of one stream, the final `[DONE]` not counted. */
  readonly events: number;
  readonly stepMs: number;
}

const HEADERS = 'date: Tue, 03 Nov 2026 09:00:00 GMT\r\nserver: uvicorn\r\n';
const EVENT = eventOf({
  id: 'chatcmpl-6f9f4a1be0d24c3f9a1c4be3a84e3d11',
  object: 'chat.completion.chunk',
  created: 1793696400,
  model: MODEL,
  choices: [{ index: 0, delta: { content: ' token' }, logprobs: null, finish_reason: null, token_ids: null }],
});
const DONE = 'data: [DONE]\n\n';
const STREAM_HEAD = Buffer.from(
  `HTTP/1.1 200 OK\r\n${HEADERS}content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n`,
);
const STREAM_EVENT = Buffer.from(framed(EVENT));
const STREAM_END = Buffer.from(`${framed(DONE)}0\r\n\r\n`);
const CHAT = answer(200, {
  id: 'chatcmpl-6f9f4a1be0d24c3f9a1c4be3a84e3d11',
  object: 'chat.completion',
  created: 1793696400,
  model: MODEL,
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: ' token'.repeat(40) },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 480,
    total_tokens: 520,
    completion_tokens: 40,
    prompt_tokens_details: { cached_tokens: 0 },
  },
});
const FIXED: Readonly<Record<string, Buffer>> = {
  '/health': answer(200, {}),
  '/version': answer(200, { version: '0.11.0' }),
  '/v1/models': answer(200, {
    object: 'list',
    data: [
      {
        id: MODEL,
        object: 'model',
        created: 1793696400,
        owned_by: 'vllm',
        root: MODEL,
        max_model_len: 131072,
      },
    ],
  }),
};
const NOT_FOUND = answer(404, { detail: 'Not Found' });

export const EVENT_BYTES = EVENT.length;
export const CHAT_BYTES = CHAT.length - (CHAT.indexOf('\r\n\r\n') + 4);

/** Body bytes of a whole stream. */
export function streamBytes(pace: Pace): number {
  return EVENT_BYTES * pace.events + DONE.length;
}

export class CannedWorker {
  pace: Pace = { events: 100, stepMs: 10 };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Events still to be sent, by open stream. */
  readonly #streams = new Map<Socket, number>();
  #steps: NodeJS.Timeout | undefined;

  constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#serve(socket);
    });
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Resolves to the worker's URL. */
  listen(port = 0): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: '127.0.0.1', port, backlog: 4096 }, () => {
        // The address of a TCP listener is never a string or null.
        resolve(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
      });
    });
  }

  close(): void {
    clearInterval(this.#steps);
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let reply = NOT_FOUND;
    let stream = false;
    const reader = new MessageReader({
      onHead: (head) => {
        const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' ', head.indexOf(' ') + 1));
        stream = head.includes(STREAM_HEADER);
        reply = head.startsWith('POST') ? CHAT : (FIXED[path] ?? NOT_FOUND);
      },
      onBody: () => undefined,
      onEnd: () => {
        if (stream) this.#startStream(socket);
        else socket.write(reply);
      },
      onError: () => socket.destroy(),
    });
    socket.on('data', (chunk) => {
      reader.push(chunk, chunk.length);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#streams.delete(socket);
    });
  }

  #startStream(socket: Socket): void {
    // vLLM sends the head before it has computed anything.
    socket.write(STREAM_HEAD);
    this.#streams.set(socket, this.pace.events);
    this.#steps ??= setInterval(() => {
      this.#step();
    }, this.pace.stepMs);
  }

  #step(): void {
    for (const [socket, left] of this.#streams) {
      if (left > 0) {
        socket.write(STREAM_EVENT);
        this.#streams.set(socket, left - 1);
      } else {
        socket.write(STREAM_END);
        this.#streams.delete(socket);
      }
    }
    if (this.#streams.size > 0) return;
    clearInterval(this.#steps);
    this.#steps = undefined;
  }
}

function answer(status: number, value: unknown): Buffer {
  const body = JSON.stringify(value);
  const reason = status === 200 ? 'OK' : 'Not Found';
  return Buffer.from(
    `HTTP/1.1 ${status} ${reason}\r\n${HEADERS}content-length: ${body.length}\r\ncontent-type: application/json\r\n\r\n${body}`,
  );
}

function eventOf(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function framed(data: string): string {
  return `${data.length.toString(16)}\r\n${data}\r\n`;
}
