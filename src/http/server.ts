import {
  createServer,
  ServerResponse,
  type IncomingMessage,
  type Server,
  type ServerOptions,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { ErrorCode } from '../base/errors.ts';
import type { ListenerTls, ListenSettings } from '../config/settings/settings.ts';
import type { ClientSeats } from './client-seats.ts';
import { EdgeResponse } from './edge-response.ts';
import { Incoming } from './incoming.ts';
import { malformation } from './malformation.ts';
import { Pipeline, type PipelineRoom } from './pipeline.ts';
import { refusalCodeOf, refuseOn, refuseRequest, type RefusalCode } from './refusal.ts';
import {
  Handshakes,
  objectionTo,
  secureContextOptions,
  tlsServerOptions,
  type HandshakeFailure,
} from './tls-listener.ts';
import { Tunnel } from './tunnel.ts';

const IDLE_SWEEP_MS = 20;
/** A connection that has brought no request for so long is closed when another one needs its place. */
const SILENCE_MS = 2_000;

/** What the edge does with a request; it never rejects. */
export type OnRequest = (req: IncomingMessage, res: ServerResponse, tunnel?: Tunnel) => Promise<void>;

export interface EdgeEvents {
  /** Told of connections refused before there was a request: malformed, oversized or slow heads. */
  readonly onRefused: (code: ErrorCode) => void;
  /** Told of connections on which there was no agreement on TLS. */
  readonly onHandshakeFailure: (failure: HandshakeFailure) => void;
  /** Told which certificate new connections get: at the start, and when it changes. */
  readonly onCertificate: (tls: ListenerTls) => void;
  /** Told of connections that were dropped because there are too many, and of those that the system could not hand over. */
  readonly onShortage: (what: 'dropped' | 'accept', error?: Error) => void;
}

/** How many connections of clients there may be. */
export interface Room {
  readonly seats: ClientSeats;
  /** Beyond the seats. */
  readonly standing: number;
}

interface Objection {
  readonly code: RefusalCode;
  readonly message: string;
}

/** The listener: HTTP/1.1 limits and errors, WebSocket handshakes, graceful stop. Knows nothing of routing. */
export class EdgeServer {
  readonly #server: Server<typeof Incoming, typeof EdgeResponse>;
  /** The same server, where it speaks TLS. */
  readonly #tlsServer: TlsServer<typeof Incoming, typeof EdgeResponse> | undefined;
  readonly #handshakes: Handshakes | undefined;
  readonly #events: EdgeEvents;
  #settings: ListenSettings;
  /** Sockets that Node has handed over: it neither counts nor closes them. */
  readonly #tunnels = new Set<Duplex>();
  readonly #pipelines = new WeakMap<Duplex, Pipeline>();
  readonly #room: PipelineRoom;
  readonly #serve: (res: EdgeResponse) => void;
  /** Connections that have brought no request yet: Node does not count them as idle. */
  readonly #silent = new Set<Duplex>();
  readonly #sockets = new Set<Socket>();
  #stopping = false;

  constructor(settings: ListenSettings, onRequest: OnRequest, events: EdgeEvents, { seats, standing }: Room) {
    const { onHandshakeFailure } = events;
    this.#settings = settings;
    this.#events = events;
    this.#serve = (res) => void onRequest(res.req, res);
    this.#room = { taken: 0, onFull: () => events.onRefused('queue_full') };
    const options = serverOptions(settings, (socket) => this.#pipelines.get(socket)?.isEmpty !== false);
    const { tls, headerTimeoutMs } = settings;
    this.#tlsServer = tls && createTlsServer({ ...options, ...tlsServerOptions(tls, headerTimeoutMs) });
    this.#server = this.#tlsServer ?? createServer(options);
    this.#handshakes = this.#tlsServer && new Handshakes(this.#tlsServer, onHandshakeFailure);
    if (tls) events.onCertificate(tls);
    this.#server.timeout = 0;
    this.#server.maxRequestsPerSocket = 0;
    // The limit on the size of the head is enough; versions of Node drop what exceeds a count without a word.
    this.#server.maxHeadersCount = 0;
    this.#limitTo(seats, standing);
    // With TLS, connections before that are the business of `Handshakes`.
    // Node calls it as well, when it stops listening.
    const closeIdle = this.#server.closeIdleConnections.bind(this.#server);
    this.#server.closeIdleConnections = () => {
      this.#sparing(closeIdle);
    };
    this.#server.on(this.#tlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
      seats.arrive(socket, this.#isIdle);
      this.#silent.add(socket);
      this.#sockets.add(socket);
      socket.once('close', () => {
        this.#silent.delete(socket);
        this.#sockets.delete(socket);
      });
    });
    this.#server.on('request', (_, res) => {
      this.#accept(res);
    });
    this.#server.on('checkContinue', (req, res) => {
      continueWhenRead(req, res);
      this.#accept(res);
    });
    this.#server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#silent.delete(socket);
      // Upgrades arrive on net or tls sockets; the type says Duplex for the sake of custom servers.
      if (!(socket instanceof Socket)) socket.destroy();
      else if (!this.#pipelineOf(socket).isOver && this.#mayTunnel(req, socket)) {
        const tunnel = new Tunnel(socket, head);
        void onRequest(req, responseOn(req, tunnel), tunnel);
      }
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      // As above.
      if (socket instanceof Socket) this.#onClientError(error, socket);
      else socket.destroy();
    });
  }

  #accept(res: EdgeResponse): void {
    const { req } = res;
    this.#silent.delete(req.socket);
    const pipeline = this.#pipelineOf(req.socket);
    if (pipeline.isOver) {
      pipeline.ignore(res);
      return;
    }
    const objection = this.#objectionTo(req);
    if (!objection) {
      pipeline.take(res);
      return;
    }
    pipeline.add(res);
    pipeline.close();
    this.#events.onRefused(objection.code);
    refuseRequest(res, objection.code, objection.message);
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const pipeline = this.#pipelineOf(socket);
    if (pipeline.isOver) {
      // What it says is ignored, but not that it leaves in the middle of it.
      if (error.code === 'HPE_INVALID_EOF_STATE' && !pipeline.isEmpty) socket.destroy();
      return;
    }
    const code = refusalCodeOf(error);
    if (code === 'body_timeout' && !pipeline.isEmpty) {
      // A head that comes too late is no reason to break what was asked for before; it may be we who do not read it.
      pipeline.closeBehindAnswers();
      return;
    }
    if (error.code === 'ECONNRESET' || !mayAnswer(pipeline.latest)) {
      socket.destroy();
      return;
    }
    pipeline.close();
    this.#events.onRefused(code);
    refuseOn(socket, code);
  }

  #pipelineOf(socket: Socket): Pipeline {
    const known = this.#pipelines.get(socket);
    if (known) return known;
    const pipeline = new Pipeline(socket, this.#room, this.#serve);
    this.#pipelines.set(socket, pipeline);
    return pipeline;
  }

  /**
   * Takes over what can change while it listens; address, limits of the head and whether it speaks TLS stay as they were
   * opened. Connections from now on get the new certificate, those that are open keep what they agreed on.
   */
  reconfigure(settings: ListenSettings): void {
    const { tls } = settings;
    const changed = !isDeepStrictEqual(tls, this.#settings.tls);
    this.#settings = settings;
    if (!this.#tlsServer || !tls || !changed) return;
    this.#tlsServer.setSecureContext(secureContextOptions(tls));
    this.#events.onCertificate(tls);
  }

  #limitTo(seats: ClientSeats, standing: number): void {
    const connections = seats.limit + standing;
    if (Number.isFinite(connections)) this.#server.maxConnections = connections;
    this.#server.on('drop', () => {
      this.#events.onShortage('dropped');
      seats.makeRoom(this.#isIdle);
    });
  }

  /** Kept alive, and everything that was asked on it is answered; or slow to ask for anything. */
  readonly #isIdle = (socket: Socket, ageMs: number): boolean => {
    if (this.#silent.has(socket)) return ageMs >= SILENCE_MS;
    return this.#pipelines.get(socket)?.isEmpty === true && !this.#tunnels.has(socket);
  };

  /** Why a request gets no further than here; undefined where it does. */
  #objectionTo(req: IncomingMessage): Objection | undefined {
    const { tls } = this.#settings;
    const { socket } = req;
    const unknown = tls && socket instanceof TLSSocket ? objectionTo(socket, tls.clientCerts) : undefined;
    if (unknown !== undefined) return { code: 'client_certificate_refused', message: unknown };
    const wrong = malformation(req);
    return wrong === undefined ? undefined : { code: 'invalid_request', message: wrong };
  }

  /** Takes the socket over from Node, or refuses it. */
  #mayTunnel(req: IncomingMessage, socket: Socket): boolean {
    const objection = this.#objectionTo(req);
    if (!objection) {
      this.#tunnels.add(socket);
      socket.once('close', () => this.#tunnels.delete(socket));
      return true;
    }
    this.#pipelineOf(socket).close();
    this.#events.onRefused(objection.code);
    refuseOn(socket, objection.code, objection.message);
    return false;
  }

  /** Resolves to the port. Rejects with the system's error when it cannot listen there. */
  listen(): Promise<number> {
    const { host, port } = this.#settings;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 4096 }, () => {
        this.#server.off('error', reject);
        // A connection that could not be accepted; the next one may be.
        this.#server.on('error', (error) => {
          this.#events.onShortage('accept', error);
        });
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
      this.#handshakes?.cut();
      this.#closeSilent((socket) => socket.bytesRead === 0);
      this.#server.close(() => {
        clearInterval(sweep);
        clearTimeout(late);
        resolve();
      });
    });
  }

  /** To Node a connection is idle when its answer has been handed over, though the client has yet to read the rest of it. */
  #sparing(closeIdle: () => void): void {
    const leaving = [...this.#sockets].filter(
      (socket) => this.#pipelines.get(socket)?.latest?.writableEnded === true,
    );
    for (const socket of leaving) socket.destroy = () => socket;
    closeIdle();
    for (const socket of leaving) Reflect.deleteProperty(socket, 'destroy');
  }

  #closeSilent(which: (socket: Socket) => boolean): void {
    for (const socket of this.#silent) if (socket instanceof Socket && which(socket)) socket.destroy();
  }

  /** Cuts whatever is still open. */
  cut(): void {
    this.#server.closeAllConnections();
    this.#handshakes?.cut();
    for (const socket of this.#tunnels) socket.destroy();
  }
}

type EdgeOptions = ServerOptions<typeof Incoming, typeof EdgeResponse>;

/** `isFree` tells whether nothing on the connection waits for an answer. */
function serverOptions(settings: ListenSettings, isFree: (socket: Socket) => boolean): EdgeOptions {
  return {
    IncomingMessage: Incoming,
    ServerResponse: EdgeResponse,
    // Looked at with the rest of the head, so that its refusal is like the others.
    requireHostHeader: false,
    maxHeaderSize: settings.maxHeaderSize,
    headersTimeout: settings.headerTimeoutMs,
    // The body has its own idle timeout: a total limit would cut honest uploads on slow lines.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(1_000, settings.headerTimeoutMs),
    keepAliveTimeout: settings.keepAliveMs,
    noDelay: true,
    // Other tokens (h2c from Java and curl) are no reason to leave HTTP/1.1.
    // Behind a request that has not been answered the socket cannot be handed over; such a handshake is a plain GET.
    shouldUpgradeCallback: (req) => isHandshake(req) && isFree(req.socket),
  };
}

/** A response object on a socket that Node has handed over, for the case that the handshake is refused. */
function responseOn(req: IncomingMessage, tunnel: Tunnel): ServerResponse {
  const { socket } = tunnel;
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  socket.on('error', () => {
    socket.destroy();
  });
  // On sockets of its own Node does so itself: without it an answer larger than the buffer would never go on.
  socket.on('drain', () => res.emit('drain'));
  res.on('finish', () => {
    tunnel.refuse();
  });
  return res;
}

/** An Expect header is answered when somebody wants the body: neither before its length nor before a key is checked. */
function continueWhenRead(req: IncomingMessage, res: ServerResponse): void {
  const onListener = (event: string | symbol): void => {
    if (event !== 'data' && event !== 'readable') return;
    req.off('newListener', onListener);
    if (!res.headersSent) res.writeContinue();
  };
  req.on('newListener', onListener);
}

/** A WebSocket handshake is a GET without a body (RFC 6455 4.1); anything else stays an ordinary request. */
function isHandshake({ method, headers }: IncomingMessage): boolean {
  if (method !== 'GET' || headers['transfer-encoding'] !== undefined) return false;
  return Number(headers['content-length'] ?? 0) === 0 && headers.upgrade?.toLowerCase() === 'websocket';
}

/** Bytes that are not HTTP must not be answered in the middle, or in the place, of another answer. */
function mayAnswer(latest: ServerResponse | undefined): boolean {
  if (latest === undefined || latest.writableFinished) return true;
  return !latest.headersSent && !latest.req.complete;
}
