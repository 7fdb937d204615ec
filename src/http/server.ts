import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ERRORS, type ErrorCode } from '../base/errors.ts';
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
      shouldUpgradeCallback: (req) => req.headers.upgrade?.toLowerCase() === 'websocket',
    });
    this.#server.timeout = 0;
    this.#server.maxRequestsPerSocket = 0;
    this.#server.on('request', (req, res) => {
      void onRequest(req, res);
    });
    // An Expect header is answered when the body is wanted, not before the limits have been checked.
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      if (Number(req.headers['content-length'] ?? 0) <= settings.maxPayloadSize) res.writeContinue();
      void onRequest(req, res);
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
      refuse(error, socket, onRefused);
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

function refuse(error: NodeJS.ErrnoException, socket: Duplex, onRefused: OnRefused): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = codeOf(error);
  onRefused(code);
  const { status } = ERRORS[code];
  const body = JSON.stringify({
    error: { message: MESSAGES[code], type: ERRORS[code].type, param: null, code },
  });
  socket.end(
    `HTTP/1.1 ${status} ${REASONS[code]}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
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
