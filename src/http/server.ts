import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, type Server as TlsServer } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { ErrorCode } from '../base/errors.ts';
import type { ListenerTls, ListenSettings } from '../config/settings/settings.ts';
import { ClientConnection, type ConnectionHost } from './client-connection.ts';
import type { ClientSeats } from './client-seats.ts';
import type { EdgeRequest } from './edge-request.ts';
import type { EdgeResponse } from './edge-response.ts';
import {
  Handshakes,
  objectionTo,
  secureContextOptions,
  tlsServerOptions,
  type HandshakeFailure,
} from './tls-listener.ts';
import type { TicketKeys } from './ticket-keys.ts';
import type { Tunnel } from './tunnel.ts';

/** How often it is looked for connections whose time is up. */
const SWEEP_MS = 1_000;
/** A connection that has brought no request for so long is closed when another one needs its place. */
const SILENCE_MS = 2_000;

/** What the edge does with a request; it never rejects. */
export type OnRequest = (req: EdgeRequest, res: EdgeResponse, tunnel?: Tunnel) => Promise<void>;

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

/** What it has in common with the listeners of other threads. */
export interface Shared {
  /** How many connections of clients there may be... */
  readonly seats: ClientSeats;
  /** ...and beyond the seats. */
  readonly standing: number;
  /** Absent: nobody else is to take up sessions of this one. */
  readonly ticketKeys?: TicketKeys;
}

/** The listener: its connections, their limits and timeouts, TLS, graceful stop. Knows nothing of routing. */
export class EdgeServer {
  readonly #server: Server;
  /** The same server, where it speaks TLS. */
  readonly #tlsServer: TlsServer | undefined;
  readonly #handshakes: Handshakes | undefined;
  readonly #events: EdgeEvents;
  readonly #ticketKeys: TicketKeys | undefined;
  readonly #host: ConnectionHost;
  readonly #connections = new Map<Socket, ClientConnection>();
  #settings: ListenSettings;
  #sweep: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(settings: ListenSettings, onRequest: OnRequest, events: EdgeEvents, shared: Shared) {
    const { seats, standing, ticketKeys } = shared;
    const { onHandshakeFailure, onRefused } = events;
    this.#settings = settings;
    this.#events = events;
    this.#ticketKeys = ticketKeys;
    this.#host = {
      ...settings,
      room: { taken: 0, onFull: () => onRefused('queue_full') },
      serve: (res, tunnel) => void onRequest(res.req, res, tunnel),
      onRefused,
      objectionTo: (socket) => this.#objectionTo(socket),
      isStopping: () => this.#stopping,
    };
    const { tls, headerTimeoutMs } = settings;
    const options = { allowHalfOpen: true, noDelay: true };
    this.#tlsServer =
      tls && createTlsServer({ ...options, ...tlsServerOptions(tls, headerTimeoutMs, ticketKeys) });
    this.#server = this.#tlsServer ?? createServer(options);
    this.#handshakes = this.#tlsServer && new Handshakes(this.#tlsServer, onHandshakeFailure);
    if (tls) events.onCertificate(tls);
    this.#limitTo(seats, standing);
    // With TLS, connections before that are the business of `Handshakes`.
    this.#server.on(this.#tlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
      if (!seats.arrive(socket, this.#isIdle)) {
        socket.destroy();
        this.#onDropped(seats);
        return;
      }
      this.#connections.set(socket, new ClientConnection(socket, this.#host));
      socket.once('close', () => {
        this.#connections.delete(socket);
      });
    });
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
    this.#tlsServer.setSecureContext(secureContextOptions(tls, this.#ticketKeys));
    this.#events.onCertificate(tls);
  }

  /** What other threads have is known to the seats alone; this keeps connections from being accepted at all. */
  #limitTo(seats: ClientSeats, standing: number): void {
    const connections = seats.limit + standing;
    if (Number.isFinite(connections)) this.#server.maxConnections = connections;
    this.#server.on('drop', () => {
      this.#onDropped(seats);
    });
  }

  #onDropped(seats: ClientSeats): void {
    this.#events.onShortage('dropped');
    seats.makeRoom(this.#isIdle);
  }

  /** Kept alive, and everything that was asked on it is answered; or slow to ask for anything. */
  readonly #isIdle = (socket: Socket, ageMs: number): boolean => {
    const connection = this.#connections.get(socket);
    if (!connection) return false;
    return connection.isSilent ? ageMs >= SILENCE_MS : connection.isIdle;
  };

  #objectionTo(socket: Socket): string | undefined {
    const { tls } = this.#settings;
    return tls && socket instanceof TLSSocket ? objectionTo(socket, tls.clientCerts) : undefined;
  }

  /**
   * Resolves to the port. Rejects with the system's error when it cannot listen there.
   * @param shared The port that listeners of other threads have as well, in place of the configured one.
   */
  listen(shared?: number): Promise<number> {
    const { host, headerTimeoutMs, keepAliveMs } = this.#settings;
    const { port = this.#settings.port, reusePort = false } =
      shared === undefined ? {} : { port: shared, reusePort: true };
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, reusePort, backlog: 4096 }, () => {
        this.#server.off('error', reject);
        // A connection that could not be accepted; the next one may be.
        this.#server.on('error', (error) => {
          this.#events.onShortage('accept', error);
        });
        this.#sweep = setInterval(this.#look, Math.min(SWEEP_MS, headerTimeoutMs, keepAliveMs));
        this.#server.once('close', () => {
          clearInterval(this.#sweep);
        });
        // A TCP listener's address is never a string or null.
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  readonly #look = (): void => {
    const now = performance.now();
    for (const connection of this.#connections.values()) connection.look(now);
  };

  /** Stops listening and closes idle connections; resolves when the last response has left. */
  stop(): Promise<void> {
    if (this.#stopping) return Promise.resolve();
    this.#stopping = true;
    return new Promise((resolve) => {
      this.#handshakes?.cut();
      this.#server.close(() => {
        resolve();
      });
      for (const connection of this.#connections.values()) connection.stop();
    });
  }

  /** Cuts whatever is still open. */
  cut(): void {
    this.#handshakes?.cut();
    for (const socket of this.#connections.keys()) socket.destroy();
  }
}
