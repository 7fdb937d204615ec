/**
 * A worker whose answers are bytes prepared beforehand, so cheap that it is never what is measured. One server-sent event
 * per open stream and step, as an engine that decodes its running requests together emits them.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import {
  CHAT,
  DONE_BYTES,
  EVENT_BYTES,
  GET_ANSWERS,
  NOT_FOUND,
  renderAnswer,
  STREAM_END,
  STREAM_EVENT,
  STREAM_HEAD,
  tokenizeAnswer,
} from './canned-answers.ts';
import { MessageReader } from './message-reader.ts';
import { StreamMark } from './stream-mark.ts';

export interface Pace {
  /** Events of one stream, the final `[DONE]` not counted. */
  readonly events: number;
  readonly stepMs: number;
}

const CHAT_PATH = '/v1/chat/completions';

/** Body bytes of a whole stream. */
export function streamBytes(pace: Pace): number {
  return EVENT_BYTES * pace.events + DONE_BYTES;
}

export class CannedWorker {
  pace: Pace = { events: 100, stepMs: 10 };
  /** While it is, a stream gets its first event and no more: streams that are opened one by one can so be open together. */
  paused = false;
  /** What was asked besides chats, health checks included. */
  questions = 0;
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
    let path = '';
    let get = false;
    const stream = new StreamMark();
    let bodyBytes = 0;
    const reader = new MessageReader({
      onHead: (head) => {
        get = head.startsWith('GET');
        path = pathOf(head);
        stream.reset();
        bodyBytes = 0;
      },
      onBody: (bytes, buffer, at) => {
        bodyBytes += bytes;
        stream.push(buffer, at, at + bytes);
      },
      onEnd: () => {
        if (path === CHAT_PATH && stream.found) this.#startStream(socket);
        else if (path === CHAT_PATH) socket.write(CHAT);
        else socket.write(this.#answerTo(path, get, bodyBytes));
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

  #answerTo(path: string, get: boolean, bodyBytes: number): Buffer {
    this.questions += 1;
    if (get) return GET_ANSWERS[path] ?? NOT_FOUND;
    if (path === `${CHAT_PATH}/render`) return renderAnswer(bodyBytes, this.questions);
    return path === '/tokenize' ? tokenizeAnswer(bodyBytes) : NOT_FOUND;
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
      if (this.paused && left < this.pace.events) continue;
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

function pathOf(head: string): string {
  const from = head.indexOf(' ') + 1;
  const path = head.slice(from, head.indexOf(' ', from));
  const query = path.indexOf('?');
  return query < 0 ? path : path.slice(0, query);
}
