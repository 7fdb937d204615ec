import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../base/errors.ts';
import type { ListenSettings } from '../config/settings.ts';
import { refusalCodeOf, refuseOn, refuseRequest } from './refusal.ts';

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
  readonly #refused = new WeakSet<Duplex>();
  /** Connections that have brought no request yet: Node does not count them as idle. */
  readonly #silent = new Set<Duplex>();
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
      // Behind a request that has not been answered the socket cannot be handed over; such a handshake is a plain GET.
      shouldUpgradeCallback: (req) => isHandshake(req) && this.#latest.get(req.socket)?.closed !== false,
    });
    this.#server.timeout = 0;
    this.#server.maxRequestsPerSocket = 0;
    // The limit on the size of the head is enough; versions of Node drop what exceeds a count without a word.
    this.#server.maxHeadersCount = 0;
    this.#server.on('connection', (socket: Socket) => {
      this.#silent.add(socket);
      socket.once('close', () => this.#silent.delete(socket));
    });
    const accept = (req: IncomingMessage, res: ServerResponse): void => {
      this.#silent.delete(req.socket);
      if (this.#isOver(req.socket)) return;
      this.#latest.set(req.socket, res);
      if (isSoundlyFramed(req)) {
        void onRequest(req, res);
        return;
      }
      this.#refused.add(req.socket);
      onRefused('invalid_request');
      refuseRequest(res, 'invalid_request');
    };
    this.#server.on('request', accept);
    // An Expect header is answered when the body is wanted, not before the limits have been checked.
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      if (Number(req.headers['content-length'] ?? 0) <= settings.maxPayloadSize) res.writeContinue();
      accept(req, res);
    });
    this.#server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#silent.delete(socket);
      if (this.#isOver(socket)) return;
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
      if (this.#isOver(socket)) return;
      if (error.code === 'ECONNRESET' || !mayAnswer(this.#latest.get(socket))) {
        socket.destroy();
        return;
      }
      this.#refused.add(socket);
      const code = refusalCodeOf(error);
      onRefused(code);
      refuseOn(socket, code);
    });
  }

  /** Whether the last answer on the connection is out or on its way: what still comes is no request. */
  #isOver(socket: Duplex): boolean {
    return this.#refused.has(socket) || !socket.writable;
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
      // A head that is under way may still come; from here on Node does not time it any more.
      const late = setTimeout(() => {
        this.#closeSilent(() => true);
      }, this.#settings.headerTimeoutMs);
      this.#closeSilent((socket) => socket.bytesRead === 0);
      this.#server.close(() => {
        clearInterval(sweep);
        clearTimeout(late);
        resolve();
      });
    });
  }

  #closeSilent(which: (socket: Socket) => boolean): void {
    for (const socket of this.#silent) if (socket instanceof Socket && which(socket)) socket.destroy();
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

/** Bytes that are not HTTP must not be answered in the middle, or in the place, of another answer. */
function mayAnswer(latest: ServerResponse | undefined): boolean {
  if (latest === undefined || latest.writableFinished) return true;
  return !latest.headersSent && !latest.req.complete;
}
