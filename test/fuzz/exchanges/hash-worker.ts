import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Random } from '../../../src/base/random.ts';
import { LlhttpReader, type LlhttpHead } from '../llhttp-reader.ts';
import { randomAnswer, type AnswerFraming } from './answers.ts';
import { headerOf, writeCut } from './random-bytes.ts';

const MOST_HEAD_BYTES = 64 * 1024;
const PROBES: Readonly<Record<string, string>> = {
  '/health': '',
  '/version': '{"version":"0.32.0"}',
  '/v1/models': '{"object":"list","data":[{"id":"sim-model","object":"model","max_model_len":4096}]}',
};

/**
 * A worker on raw sockets that reads with Node's parser. It answers with random bodies in random framing, cut at random, and
 * says in headers which exchange it is, what came, and what it sends.
 */
export class HashWorker implements AsyncDisposable {
  readonly url: string;
  /** What was wrong with what the router sent. */
  readonly faults: string[] = [];
  /** How many answers in each framing. */
  readonly framings = new Map<AnswerFraming, number>();
  readonly #server: Server;
  readonly #random: Random;
  readonly #sockets = new Set<Socket>();

  static async start(random: Random): Promise<HashWorker> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HashWorker(server, random);
  }

  private constructor(server: Server, random: Random) {
    this.#server = server;
    this.#random = random;
    // A listener on TCP has an address that is no string.
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => {
      this.#serve(socket);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    let head: LlhttpHead | undefined;
    let got: Hash = createHash('sha1');
    const reader = new LlhttpReader('requests', MOST_HEAD_BYTES, {
      onHead(next) {
        head = next;
        got = createHash('sha1');
        return true;
      },
      onBody(piece) {
        got.update(piece);
      },
      onEnd: () => {
        if (head) void this.#answer(socket, head, got.digest('hex'));
      },
    });
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (bytes) => {
      reader.feed(bytes);
      if (reader.error === undefined) return;
      this.faults.push(`a worker got what Node refuses: ${reader.error}`);
      socket.destroy();
    });
  }

  async #answer(socket: Socket, { method, target, headers }: LlhttpHead, got: string): Promise<void> {
    const exchange = headerOf(headers, 'x-exchange');
    if (exchange === undefined) {
      const body = PROBES[target];
      const head = `HTTP/1.1 ${body === undefined ? '404 Not Found' : '200 OK'}\r\nContent-Length: ${body?.length ?? 0}`;
      socket.write(`${head}\r\n\r\n${body ?? ''}`);
      return;
    }
    const lines = `x-exchange: ${exchange}\r\nx-got: ${got}\r\n`;
    const { framing, bytes, endsConnection } = randomAnswer(method, lines, this.#random);
    this.framings.set(framing, (this.framings.get(framing) ?? 0) + 1);
    await writeCut(socket, bytes, this.#random);
    if (endsConnection) socket.end();
  }
}
