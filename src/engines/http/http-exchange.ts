import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ResponseHead } from '../../http1/response-head.ts';
import { BadResponse, ResponseParser, type ResponseEvents } from '../../http1/response-parser.ts';
import type { Exchange, ResponseSink, WorkerRequest } from '../client.ts';
import type { Connection, ConnectionUser } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { requestHead } from './request-head.ts';
import { toFailure, type Peer } from './transport-failure.ts';
import { Upload } from './upload.ts';

/** Head and body up to this size go out as one piece of memory: cheaper than two for the kernel. */
const COPIED_BYTES = 16 * 1024;
const NOTHING = Buffer.alloc(0);

export interface ExchangeSettings {
  readonly maxHeadBytes: number;
  readonly peer: Peer;
}

/** One request to a worker and its response, on one connection; on a second one where the first had died unnoticed. */
export class HttpExchange implements Exchange, ConnectionUser, ResponseEvents {
  readonly #request: Omit<WorkerRequest, 'body'>;
  readonly #pool: ConnectionPool;
  readonly #settings: ExchangeSettings;
  readonly #sink: ResponseSink;
  /** Let go of when the answer begins. */
  #body: Buffer | Readable | undefined;
  #head = '';
  /** Of a streamed body, as announced. */
  #length: number | undefined;
  #connection: Connection | undefined;
  #socket: Socket | undefined;
  #parser: ResponseParser | undefined;
  #upload: Upload | undefined;
  #answer: ResponseHead | undefined;
  #trailers: readonly string[] = [];
  /** Came before a pause was noticed. */
  #unread: Buffer = NOTHING;
  #reading = false;
  /** The worker has ended the connection during a pause. */
  #hasEnded = false;
  #sent = false;
  #resent = false;
  #onReused = false;
  #done = false;

  constructor(request: WorkerRequest, pool: ConnectionPool, settings: ExchangeSettings, sink: ResponseSink) {
    const { body, ...rest } = request;
    this.#request = rest;
    this.#body = body;
    this.#pool = pool;
    this.#settings = settings;
    this.#sink = sink;
  }

  start(): void {
    const { method, path, headers, upgrade, once, reserved = false } = this.#request;
    const { authority, prefix } = this.#pool.address;
    const { headers: fields, length } = withoutLength(headers, this.#body);
    this.#length = length;
    try {
      const whole = { method: upgrade ? 'GET' : method, path: prefix + path, headers: fields };
      this.#head = requestHead({ ...whole, host: authority, length, upgrade });
    } catch (error) {
      // The sink hears nothing before `send` has returned.
      process.nextTick(() => {
        this.#fail(error);
      });
      return;
    }
    const connection = upgrade
      ? this.#pool.open({ handedOver: true })
      : once
        ? this.#pool.open({ reserved })
        : this.#pool.take({ reserved });
    this.#runOn(connection);
  }

  pause(): void {
    if (!this.#parser) return;
    this.#parser.paused = true;
    this.#connection?.pause();
  }

  resume(): void {
    const parser = this.#parser;
    if (!parser?.paused) return;
    parser.paused = false;
    // It goes on by itself where it is being asked in the middle of reading.
    if (this.#reading) return;
    const unread = this.#unread;
    this.#unread = NOTHING;
    this.#read(unread);
    if (this.#done || parser.paused) return;
    this.#connection?.resume();
    if (this.#hasEnded) this.onClose(undefined);
  }

  abort(): void {
    if (this.#done) return;
    this.#finish()?.destroy();
  }

  #runOn(connection: Connection): void {
    this.#connection = connection;
    this.#onReused = connection.carried > 0;
    this.#parser = new ResponseParser(this.#request.method, this.#settings.maxHeadBytes, this);
    connection.use(this);
  }

  onConnect(socket: Socket): void {
    this.#sent = true;
    this.#socket = socket;
    this.#sink.onConnected();
    const body = this.#body;
    if (body === undefined) {
      socket.write(this.#head, 'latin1');
    } else if (!Buffer.isBuffer(body)) {
      socket.write(this.#head, 'latin1');
      this.#upload = new Upload(body, socket, this.#length, (error) => {
        this.#fail(error);
      });
    } else if (body.length <= COPIED_BYTES) {
      const headBytes = this.#head.length;
      const all = Buffer.allocUnsafe(headBytes + body.length);
      all.write(this.#head, 0, 'latin1');
      body.copy(all, headBytes);
      socket.write(all);
    } else {
      socket.cork();
      socket.write(this.#head, 'latin1');
      socket.write(body);
      socket.uncork();
    }
  }

  onDrain(): void {
    this.#upload?.resume();
  }

  onBytes(bytes: Buffer): void {
    if (this.#unread.length === 0) this.#read(bytes);
    else this.#unread = Buffer.concat([this.#unread, bytes]);
  }

  #read(bytes: Buffer): void {
    const parser = this.#parser;
    if (!parser) return;
    this.#reading = true;
    let used: number;
    try {
      used = parser.push(bytes);
    } catch (error) {
      this.#fail(error);
      return;
    } finally {
      this.#reading = false;
    }
    if (this.#done) return;
    if (!parser.done) {
      // A pause in the middle of what was read: a socket that does not read does not bring more than that.
      if (used < bytes.length) this.#unread = Buffer.from(bytes.subarray(used));
    } else if (this.#answer?.status === 101) {
      this.#switch(this.#answer, bytes.subarray(used));
    } else {
      this.#complete(used === bytes.length);
    }
  }

  onClose(error: Error | undefined): void {
    this.#connection = undefined;
    if (error === undefined && this.#parser?.paused === true) {
      this.#hasEnded = true;
      return;
    }
    if (this.#parser?.finish() === true && error === undefined) {
      this.#complete(false);
    } else if (this.#mayResend()) {
      this.#resend();
    } else {
      this.#fail(error ?? new ClosedByWorker());
    }
  }

  onHead(head: ResponseHead): void {
    if (this.#done) return;
    if (head.status === 101) {
      if (this.#request.upgrade === undefined) throw new BadResponse('it switches protocols unasked');
      this.#answer = head;
    } else if (head.status >= 200) {
      this.#answer = head;
      this.#sink.onHead(head.status, head.statusText, head.headers);
    }
  }

  onBody(piece: Buffer): void {
    if (this.#done) return;
    this.#body = undefined;
    this.#sink.onData(Buffer.from(piece));
  }

  onEnd(trailers: readonly string[]): void {
    this.#trailers = trailers;
  }

  /** The answer is whole; `clean`: and nothing came behind it. */
  #complete(clean: boolean): void {
    const answer = this.#answer;
    const uploaded = this.#upload?.ended ?? true;
    const connection = this.#finish();
    if (connection) {
      if (clean && uploaded && answer?.keepAlive === true && answer.framing.kind !== 'close')
        this.#pool.release(connection, answer.keepAliveSecs);
      else connection.destroy();
    }
    this.#sink.onEnd(this.#trailers);
  }

  #switch({ status, headers }: ResponseHead, rest: Buffer): void {
    const socket = this.#socket;
    const connection = this.#finish();
    if (connection && socket) this.#sink.onUpgrade(status, '', headers, connection.handOver(socket, rest));
  }

  #fail(error: unknown): void {
    if (this.#done) return;
    this.#finish()?.destroy();
    this.#sink.onFailure(
      toFailure(error instanceof Error ? error : new Error(String(error)), this.#sent, this.#settings.peer),
    );
  }

  /** A kept-alive socket that dies before any byte of the response: the worker closed it while it was idle. */
  #mayResend(): boolean {
    if (this.#done || this.#resent || this.#parser?.untouched !== true) return false;
    return this.#onReused && (this.#body === undefined || Buffer.isBuffer(this.#body));
  }

  #resend(): void {
    this.#resent = true;
    this.#sent = false;
    this.#sink.onResent();
    this.#pool.forgetIdle();
    if (!this.#done) this.#runOn(this.#pool.open({ reserved: this.#request.reserved === true }));
  }

  /** From now on the sink hears of nothing but what its caller says. Gives the connection, for that to decide about. */
  #finish(): Connection | undefined {
    this.#done = true;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#socket = undefined;
    this.#parser = undefined;
    this.#body = undefined;
    this.#upload?.stop();
    return connection;
  }
}

/** The connection ended in the middle of things, in an orderly way. */
class ClosedByWorker extends Error {
  readonly code = 'closed';

  constructor() {
    super('the worker closed the connection');
  }
}

/** The length goes out once: that of the bytes that are held, else what the sender of the stream announced. */
function withoutLength(
  headers: readonly string[],
  body: WorkerRequest['body'],
): { readonly headers: readonly string[]; readonly length: number | undefined } {
  if (body === undefined) return { headers, length: 0 };
  if (Buffer.isBuffer(body)) return { headers, length: body.length };
  const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-length');
  if (at < 0) return { headers, length: undefined };
  return { headers: headers.toSpliced(at, 2), length: Number(headers[at + 1]) };
}
