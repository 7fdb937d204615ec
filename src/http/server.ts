import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ERRORS, needsRetryAfter, type ErrorCode } from '../base/errors.ts';
import type { ListenSettings } from '../config/settings.ts';

export interface Tunnel {
  readonly socket: Duplex;
  readonly head: Buffer;
}

const IDLE_SWEEP_MS = 20;

/** What the edge does with a request; it never rejects. */
export type OnRequest = (req: IncomingMessage, res: ServerResponse, tunnel?: Tunnel) => Promise<void>;

/** Told of connections refused before there was a request: malformed, oversized or slow heads. */
export type OnRefused = (code: ErrorCode) => void;

/** The listener: HTTP/1.1 limits and errors, WebSocket handshakes, graceful stop. Knows nothing of routing. */
export class EdgeServer {
  readonly #server: Server;
  readonly #settings: ListenSettings;
  /** Sockets that Node has handed over: it neither counts nor closes them. */
  readonly #tunnels = new Set<Duplex>();
  /** The newest response on each connection. */
  readonly #latest = new WeakMap<Duplex, ServerResponse>();
  #stopping = false;

  constructor(settings: ListenSettings, onRequest: OnRequest, onRefused: OnRefused) {
    this.#settings = settings;
    this.#server = createServer({
      maxHeaderSize: settings.maxHeaderSize,
      headersTimeout: settings.headerTimeoutMs,
      // The body has its own idle timeout: a total limit would cut honest uploads on slow lines.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(1_000, settings.headerTimeoutMs),
      keepAliveTimeout: settings.keepAliveMs,
      noDelay: true,
      // Other tokens (h2c from Java and curl) are no reason to leave HTTP/1.1.
      shouldUpgradeCallback: isHandshake,
    });
    this.#server.timeout = 0;
    this.#server.maxRequestsPerSocket = 0;
    // The limit on the size of the head is enough; versions of Node drop what exceeds a count without a word.
    this.#server.maxHeadersCount = 0;
    const accept = (req: IncomingMessage, res: ServerResponse): void => {
      this.#latest.set(req.socket, res);
      if (isSoundlyFramed(req)) void onRequest(req, res);
      else refuseRequest(res, onRefused);
    };
    this.#server.on('request', accept);
    // An Expect header is answered when the body is wanted, not before the limits have been checked.
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      if (Number(req.headers['content-length'] ?? 0) <= settings.maxPayloadSize) res.writeContinue();
      accept(req, res);
    });
    this.#server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      // Upgrades arrive on net or tls sockets; the type says Duplex for the sake of custom servers.
      if (!(socket instanceof Socket)) {
        socket.destroy();
        return;
      }
      this.#tunnels.add(socket);
      socket.once('close', () => this.#tunnels.delete(socket));
      void onRequest(req, responseOn(req, socket), { socket, head });
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (mayAnswer(this.#latest.get(socket))) refuse(error, socket, onRefused);
      else socket.destroy();
    });
  }

  /** Resolves to the port. Rejects with the system's error when it cannot listen there. */
  listen(): Promise<number> {
    const { host, port } = this.#settings;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 4096 }, () => {
        this.#server.off('error', reject);
        // A TCP listener's address is never a string or null.
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Stops listening and closes idle connections; resolves when the last response has left. */
  stop(): Promise<void> {
    if (this.#stopping) return Promise.resolve();
    this.#stopping = true;
    return new Promise((resolve) => {
      // A connection becomes idle when its response has left; Node closes only those that are idle at once.
      const sweep = setInterval(() => {
        this.#server.closeIdleConnections();
      }, IDLE_SWEEP_MS);
      this.#server.close(() => {
        clearInterval(sweep);
        resolve();
      });
    });
  }

  /** Cuts whatever is still open. */
  cut(): void {
    this.#server.closeAllConnections();
    for (const socket of this.#tunnels) socket.destroy();
  }
}

/** A response object on a socket that Node has handed over, for the case that the handshake is refused. */
function responseOn(req: IncomingMessage, socket: Socket): ServerResponse {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  socket.on('error', () => {
    socket.destroy();
  });
  res.on('finish', () => {
    socket.end();
  });
  return res;
}

/** A WebSocket handshake is a GET without a body (RFC 6455 4.1); anything else stays an ordinary request. */
function isHandshake({ method, headers }: IncomingMessage): boolean {
  if (method !== 'GET' || headers['transfer-encoding'] !== undefined) return false;
  return Number(headers['content-length'] ?? 0) === 0 && headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Whether every hop sees the same end of the body. Node has refused conflicting and repeated lengths; codings other
 * than chunked would be lost on the way, and HTTP/1.0 knows none (RFC 9112 6.1).
 */
function isSoundlyFramed({ headers, httpVersion }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  return coding === undefined || (coding.toLowerCase() === 'chunked' && httpVersion !== '1.0');
}

function refuseRequest(res: ServerResponse, onRefused: OnRefused): void {
  onRefused('invalid_request');
  const { status, headers, body } = refusal('invalid_request');
  res.writeHead(status, headers).end(body);
}

/** Bytes that are not HTTP must not be answered in the middle, or in the place, of another answer. */
function mayAnswer(latest: ServerResponse | undefined): boolean {
  if (latest === undefined || latest.writableFinished) return true;
  return !latest.headersSent && !latest.req.complete;
}

function refuse(error: NodeJS.ErrnoException, socket: Duplex, onRefused: OnRefused): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = codeOf(error);
  onRefused(code);
  const { status, headers, body } = refusal(code);
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${REASONS[code]}\r\n${fields.join('')}\r\n${body}`, () => socket.destroy());
}

interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function refusal(code: RefusalCode): Refusal {
  const { status, type } = ERRORS[code];
  const body = JSON.stringify({ error: { message: MESSAGES[code], type, param: null, code } });
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...(needsRetryAfter(status) ? { 'retry-after': '1' } : {}),
    connection: 'close',
  };
  return { status, headers, body };
}

type RefusalCode = 'headers_too_large' | 'body_timeout' | 'invalid_request';

const REASONS: Readonly<Record<RefusalCode, string>> = {
  headers_too_large: 'Request Header Fields Too Large',
  body_timeout: 'Request Timeout',
  invalid_request: 'Bad Request',
};

const MESSAGES: Readonly<Record<RefusalCode, string>> = {
  headers_too_large: 'the request head is too large',
  body_timeout: 'the request head arrived too slowly',
  invalid_request: 'the request is not valid HTTP/1.1',
};

function codeOf(error: NodeJS.ErrnoException): RefusalCode {
  if (error.code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large';
  return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'body_timeout' : 'invalid_request';
}
