import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Random } from '../../../src/base/random.ts';
import { LlhttpReader, type LlhttpHead } from '../llhttp-reader.ts';
import { below } from '../mutate.ts';
import { randomRequest, type Asked } from './asked.ts';
import { headerOf, writeCut } from './random-bytes.ts';

const MOST_AT_ONCE = 8;
const MOST_BATCHES = 6;
/** However busy the machine is: a connection on which nothing moves for so long never will. */
const LONGEST_SILENCE_MS = 60_000;
const MOST_HEAD_BYTES = 64 * 1024;

/** A connection on which requests go out in batches, cut at random; each answer must be that of the request whose turn it is. */
export class PipeliningClient {
  readonly #socket: Socket;
  readonly #random: Random;
  readonly #reader: LlhttpReader;
  /** Sent and not answered, oldest first. */
  readonly #open: Asked[] = [];
  #head: LlhttpHead | undefined;
  #got: Hash = createHash('sha1');
  #answered: () => void = () => undefined;
  /** The first thing that was wrong: nothing behind it means anything. */
  fault: string | undefined;

  static async connect(port: number, random: Random): Promise<PipeliningClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new PipeliningClient(socket, random);
  }

  private constructor(socket: Socket, random: Random) {
    this.#socket = socket;
    this.#random = random;
    this.#reader = new LlhttpReader('responses', MOST_HEAD_BYTES, {
      onHead: (head) => {
        this.#head = head;
        this.#got = createHash('sha1');
        return this.#open[0]?.method !== 'HEAD';
      },
      onBody: (piece) => {
        this.#got.update(piece);
      },
      onEnd: () => {
        this.#check();
      },
    });
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      this.#reader.feed(bytes);
      if (this.#reader.error !== undefined) this.#fail(`Node refuses the answer: ${this.#reader.error}`);
    });
    socket.setTimeout(LONGEST_SILENCE_MS, () => {
      this.#fail(`nothing comes of exchange ${this.#open[0]?.exchange}`);
    });
    socket.on('close', () => {
      if (this.#open.length > 0)
        this.#fail(`the connection ended before exchange ${this.#open[0]?.exchange}`);
      this.#answered();
    });
  }

  /** Some batches of requests; `next` numbers them. @returns how many there were. */
  async run(next: () => number): Promise<number> {
    let count = 0;
    for (let batches = 1 + below(this.#random, MOST_BATCHES); batches > 0; batches -= 1) {
      const size = 1 + below(this.#random, MOST_AT_ONCE);
      const isLast = batches === 1 && this.#random() < 0.3;
      const requests = Array.from({ length: size }, (_, index) =>
        randomRequest(next(), isLast && index === size - 1, this.#random),
      );
      count += size;
      this.#open.push(...requests);
      await writeCut(this.#socket, Buffer.concat(requests.map(({ bytes }) => bytes)), this.#random);
      await this.#allAnswered();
      if (this.fault !== undefined) break;
      if (isLast && !this.#socket.closed) await once(this.#socket, 'close');
    }
    this.#socket.destroy();
    return count;
  }

  async #allAnswered(): Promise<void> {
    while (this.#open.length > 0 && this.fault === undefined)
      await new Promise<void>((resolve) => {
        this.#answered = resolve;
      });
  }

  #check(): void {
    const head = this.#head;
    const asked = this.#open[0];
    if (!head || head.status < 200) return;
    this.#open.shift();
    if (!asked) {
      this.#fail(`an answer with status ${head.status} that nobody asked for`);
      return;
    }
    const { status, headers } = head;
    const place = `exchange ${asked.exchange} (${asked.method}, status ${status})`;
    const exchange = headerOf(headers, 'x-exchange');
    if (exchange !== asked.exchange) this.#fail(`${place} got the answer of ${exchange}`);
    else if (headerOf(headers, 'x-got') !== asked.digest) this.#fail(`${place}: the worker got another body`);
    else if (headerOf(headers, 'x-body') !== this.#got.digest('hex'))
      this.#fail(`${place}: another answer than the worker sent`);
    this.#answered();
  }

  #fail(fault: string): void {
    this.fault ??= fault;
    this.#open.length = 0;
    this.#answered();
    this.#socket.destroy();
  }
}
