import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ResponseHead } from '../../http1/response-head.ts';
import { BadResponse, ResponseParser, type ResponseEvents } from '../../http1/response-parser.ts';
import { headerOf } from '../../http/headers.ts';
import type { Exchange, ResponseSink, WorkerRequest } from '../client.ts';
import type { Connection, ConnectionUser } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { requestHead } from './request-head.ts';
import { toFailure, type Peer } from './transport-failure.ts';
import { Upload } from './upload.ts';

const NOTHING = Buffer.alloc(0);

export interface ExchangeSettings {
  readonly maxHeadBytes: number;
  readonly peer: Peer;
}

/** One request to a worker and its response, on one connection; on a second one where the first had died unnoticed. */
export class HttpExchange implements Exchange, ConnectionUser, ResponseEvents {
  readonly #method: string;
  readonly #upgrade: WorkerRequest['upgrade'];
  readonly #reserved: boolean;
  readonly #isSingle: boolean;
  readonly #pool: ConnectionPool;
  readonly #settings: ExchangeSettings;
  readonly #sink: ResponseSink;
  /** Let go of when the answer begins. */
  #body: Buffer | Readable | undefined;
  /** Likewise. */
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
    this.#method = request.method;
    this.#upgrade = request.upgrade;
    this.#reserved = request.reserved ?? false;
    this.#isSingle = request.single ?? false;
    this.#body = request.body;
    this.#pool = pool;
    this.#settings = settings;
    this.#sink = sink;
  }

  /** `request` is the one it was made for, which is not kept with its body. */
  start({ method, path, headers, upgrade, once, body }: WorkerRequest): void {
    const { authority, prefix } = this.#pool.address;
    const reserved = this.#reserved;
    this.#length = lengthOf(headers, body);
    try {
      this.#head = requestHead({
        method: upgrade ? 'GET' : method,
        path: prefix + path,
        headers: body === undefined || Buffer.isBuffer(body) ? headers : withoutLength(headers),
        host: authority,
        length: this.#length,
        upgrade,
      });
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
    this.#parser = new ResponseParser(this.#method, this.#settings.maxHeadBytes, this);
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
    } else {
      writeTogether(socket, this.#head, body);
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
      if (this.#upgrade === undefined) throw new BadResponse('it switches protocols unasked');
      this.#answer = head;
    } else if (head.status >= 200) {
      this.#answer = head;
      this.#sink.onHead(head.status, head.statusText, head.headers);
    }
  }

  onBody(piece: Buffer): void {
    if (this.#done) return;
    this.#body = undefined;
    this.#head = '';
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
        this.#pool.release(connection, answer.keepAliveSecs, this.#reserved);
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
    if (!this.#sent) this.#pool.unreachable();
    this.#sink.onFailure(
      toFailure(error instanceof Error ? error : new Error(String(error)), this.#sent, this.#settings.peer),
    );
  }

  /** A kept-alive socket that dies before any byte of the response: the worker closed it while it was idle. */
  #mayResend(): boolean {
    if (this.#done || this.#resent || this.#parser?.untouched !== true) return false;
    return this.#onReused && !this.#isSingle && (this.#body === undefined || Buffer.isBuffer(this.#body));
  }

  #resend(): void {
    this.#resent = true;
    this.#sent = false;
    this.#sink.onResent();
    this.#pool.diedUnnoticed(this.#reserved);
    if (!this.#done) this.#runOn(this.#pool.open({ reserved: this.#reserved }));
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

/** Head and body that fit into this go out as one piece of memory: cheaper than two for the kernel. */
let together = Buffer.allocUnsafeSlow(16 * 1024);

/** `head` is Latin-1. */
function writeTogether(socket: Socket, head: string, body: Buffer): void {
  const size = head.length + body.length;
  if (size > together.length) {
    socket.cork();
    socket.write(head, 'latin1');
    socket.write(body);
    socket.uncork();
    return;
  }
  together.write(head, 0, 'latin1');
  together.set(body, head.length);
  socket.write(together.subarray(0, size));
  // What the kernel did not take at once stays where it is until it does.
  if (socket.writableLength > 0) together = Buffer.allocUnsafeSlow(together.length);
}

/** Of the bytes that are held, else what the sender of the stream announced; undefined where nobody knows. */
function lengthOf(headers: readonly string[], body: WorkerRequest['body']): number | undefined {
  if (body === undefined) return 0;
  if (Buffer.isBuffer(body)) return body.length;
  const announced = headerOf(headers, 'content-length');
  return announced === undefined ? undefined : Number(announced);
}

/** The length goes out once. */
function withoutLength(headers: readonly string[]): readonly string[] {
  const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-length');
  return at < 0 ? headers : headers.toSpliced(at, 2);
}
