import { Readable, type Duplex } from 'node:stream';
import type { Dispatcher, Pool } from 'undici';
import type { WorkerSpec } from '../../config/settings/settings.ts';
import type { Exchange, ResponseSink, WorkerClient, WorkerRequest } from '../client.ts';
import { OutboundSockets } from './outbound-sockets.ts';
import {
  openerFor,
  openFresh,
  openPool,
  type ConnectionAwareHandler,
  type Opening,
  type PoolSettings,
  type TrackedClient,
} from './connection-pool.ts';
import { toFailure, type Peer } from './transport-failure.ts';

const ABORTED = new Error('aborted by the router');

/** HTTP/1.1 over TCP, TLS or a Unix socket. */
export class HttpWorkerClient implements WorkerClient {
  readonly #prefix: string;
  readonly #sockets: OutboundSockets;
  readonly #peer: Peer;
  readonly #line: Line;
  /** For the router's own questions, when there are connections for nobody else. */
  readonly #reserve: Line;

  /** @param options `peer`: how failures call who is asked. */
  constructor(
    spec: Pick<WorkerSpec, 'baseUrl'>,
    settings: PoolSettings,
    { peer = 'worker', sockets = new OutboundSockets() }: { peer?: Peer; sockets?: OutboundSockets } = {},
  ) {
    const { origin, prefix, socketPath } = parseBaseUrl(spec.baseUrl);
    this.#prefix = prefix;
    this.#peer = peer;
    const opening = { sockets, opener: openerFor(socketPath, settings) };
    this.#sockets = sockets;
    this.#line = new Line(origin, settings, { ...opening, reserved: false });
    this.#reserve = new Line(origin, settings, { ...opening, reserved: true });
  }

  send(request: WorkerRequest, sink: ResponseSink): Exchange {
    const line = request.reserved && this.#sockets.full ? this.#reserve : this.#line;
    const exchange = new HttpExchange(request, this.#prefix + request.path, sink, line, this.#peer);
    if (request.once) exchange.dispatchFresh();
    else exchange.dispatchOn(line.pool);
    return exchange;
  }

  close(): void {
    this.#line.close();
    this.#reserve.close();
  }
}

/** Connections to one address for one purpose. */
class Line {
  readonly #origin: string;
  readonly #settings: PoolSettings;
  readonly #opening: Opening;
  #pool: Pool | undefined;

  constructor(origin: string, settings: PoolSettings, opening: Opening) {
    this.#origin = origin;
    this.#settings = settings;
    this.#opening = opening;
  }

  /** Kept-alive ones. */
  get pool(): Pool {
    return (this.#pool ??= openPool(this.#origin, this.#settings, this.#opening));
  }

  /** One that nothing has been sent on. */
  openFresh(): TrackedClient {
    return openFresh(this.#origin, this.#settings, this.#opening);
  }

  close(): void {
    void this.#pool?.close();
  }
}

function parseBaseUrl(baseUrl: string): { origin: string; prefix: string; socketPath: string | undefined } {
  if (baseUrl.startsWith('unix://')) {
    return { origin: 'http://localhost', prefix: '', socketPath: baseUrl.slice('unix://'.length) };
  }
  const url = new URL(baseUrl);
  return { origin: url.origin, prefix: url.pathname === '/' ? '' : url.pathname, socketPath: undefined };
}

/** One request and its response, as an undici handler. */
class HttpExchange implements Exchange, ConnectionAwareHandler {
  connection?: TrackedClient;
  readonly #request: Omit<WorkerRequest, 'body'>;
  readonly #replayable: boolean;
  /** Let go of when the answer begins. */
  #body: WorkerRequest['body'];
  readonly #path: string;
  readonly #sink: ResponseSink;
  readonly #line: Line;
  readonly #peer: Peer;
  #controller: Dispatcher.DispatchController | undefined;
  #aborted = false;
  #done = false;
  #sent = false;
  #responding = false;
  #onReusedSocket = false;
  #fresh: TrackedClient | undefined;

  constructor(request: WorkerRequest, path: string, sink: ResponseSink, line: Line, peer: Peer) {
    this.#peer = peer;
    const { body, ...head } = request;
    this.#request = head;
    this.#body = body;
    this.#replayable = body === undefined || Buffer.isBuffer(body);
    this.#path = path;
    this.#sink = sink;
    this.#line = line;
  }

  dispatchOn(dispatcher: Dispatcher): void {
    const { method, headers, upgrade } = this.#request;
    const body = this.#body;
    const large = Buffer.isBuffer(body) && body.length > KEPT_BY_UNDICI_BYTES;
    const options: Dispatcher.DispatchOptions = {
      method: upgrade ? 'GET' : method,
      path: this.#path,
      // undici reads a flat list of names and values; its type asks for a mutable one.
      headers: (large ? [...headers, 'content-length', String(body.length)] : headers) as string[],
      body: (large ? new OneShot(body) : body) ?? null,
      // undici sends whatever may be queued on one connection only if told that it is safe; pipelining is off anyway.
      idempotent: false,
      blocking: false,
      ...(upgrade ? { upgrade } : {}),
    };
    try {
      dispatcher.dispatch(options, this);
    } catch (error) {
      this.onResponseError(undefined, error instanceof Error ? error : new Error(String(error)));
    }
  }

  dispatchFresh(): void {
    this.#fresh = this.#line.openFresh();
    this.dispatchOn(this.#fresh);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#done) return;
    this.#aborted = true;
    // First, for undici reports the abort as an error before `abort` returns.
    this.#finish();
    this.#controller?.abort(ABORTED);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#aborted) {
      controller.abort(ABORTED);
      return;
    }
    this.#sent = true;
    if (this.connection) {
      this.#onReusedSocket = this.connection.carried > 0;
      this.connection.carried += 1;
      this.connection.interim.expect(this);
      this.connection.carries(true);
    }
    this.#sink.onConnected();
  }

  onResponseStarted(): void {
    this.#responding = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusText = '',
  ): void {
    if (this.#done || status < 200) return;
    const headers = flatten(controller.rawHeaders);
    if (isCodedForTransfer(headers)) {
      this.abort();
      const message =
        'what the worker sent is not a valid HTTP response (a Transfer-Encoding beside chunked)';
      this.#sink.onFailure({ code: 'worker_bad_response', message, sent: true });
      return;
    }
    this.#sink.onHead(status, latin1(statusText), headers);
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    if (this.#done) return;
    this.#body = undefined;
    this.#sink.onData(chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#done) return;
    if (!this.#fresh) this.connection?.carries(false);
    this.#finish();
    this.#sink.onEnd(flatten(controller.rawTrailers));
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    socket: Duplex,
  ): void {
    if (this.#done) {
      socket.destroy();
      return;
    }
    this.#finish();
    this.#sink.onUpgrade(status, '', flatten(controller.rawHeaders), socket);
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#done) return;
    if (this.#mayResend()) {
      this.#resend();
      return;
    }
    this.#finish();
    this.#sink.onFailure(toFailure(error, this.#sent, this.#peer));
  }

  /** A kept-alive socket that dies before any byte of the response: the worker closed it while it was idle. */
  #mayResend(): boolean {
    return this.#onReusedSocket && !this.#responding && !this.#fresh && this.#replayable;
  }

  #resend(): void {
    this.#sink.onResent();
    this.#controller = undefined;
    this.#sent = false;
    this.#onReusedSocket = false;
    this.dispatchFresh();
  }

  #finish(): void {
    this.#done = true;
    if (this.#fresh) void this.#fresh.close();
  }
}

/**
 * Whether the body is compressed for the transfer, which nobody asked for: undici takes the chunks apart and leaves it so,
 * and the client would get it without a word about that.
 */
function isCodedForTransfer(headers: readonly string[]): boolean {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at]?.length !== 17 || headers[at]?.toLowerCase() !== 'transfer-encoding') continue;
    if (!/^(?:chunked|identity)?$/i.test(headers[at + 1]?.trim() ?? '')) return true;
  }
  return false;
}

/** undici keeps a body until the answer has ended: a stream of hours would keep its prompt that long. */
const KEPT_BY_UNDICI_BYTES = 64 * 1024;

/** Bytes that are forgotten as soon as they have been handed on. */
class OneShot extends Readable {
  #bytes: Buffer | undefined;

  constructor(bytes: Buffer) {
    super();
    this.#bytes = bytes;
  }

  override _read(): void {
    const bytes = this.#bytes;
    this.#bytes = undefined;
    if (bytes) this.push(bytes);
    this.push(null);
  }
}

/**
 * undici reads the reason phrase as UTF-8, Node writes it as Latin-1: so the same bytes go out. One with control
 * characters, which Node refuses to write, is left out: it means nothing to anybody.
 */
function latin1(statusText: string): string {
  if (/^[\x20-\x7e]*$/.test(statusText)) return statusText;
  return /^[\t\x20-\x7e\x80-\u{10ffff}]*$/u.test(statusText)
    ? Buffer.from(statusText, 'utf8').toString('latin1')
    : '';
}

/** undici hands raw headers over as buffers: header bytes are Latin-1. */
function flatten(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}
