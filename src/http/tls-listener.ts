import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions, TLSSocket, Server as TlsServer } from 'node:tls';
import type { ListenerTls } from '../config/settings/settings.ts';
import { refuseOn } from './refusal.ts';
import { noteCarrier } from './reset.ts';
import type { TicketKeys } from './ticket-keys.ts';

/** Why there was no TLS connection with a client. Also a metric's label: a closed list. */
export type HandshakeFailure =
  'plain_http' | 'timeout' | 'closed' | 'refused_by_client' | 'no_common_version' | 'other';

/** What `https.createServer` is told; the second half of it can be changed later. */
export function tlsServerOptions(
  tls: ListenerTls,
  handshakeTimeoutMs: number,
  ticketKeys?: TicketKeys,
): TlsOptions {
  return {
    ...secureContextOptions(tls, ticketKeys),
    handshakeTimeout: handshakeTimeoutMs,
    noDelay: true,
    // A client that offers others only is turned away, and `curl --http1.0` offers just the second one.
    ALPNProtocols: ['http/1.1', 'http/1.0'],
    requestCert: tls.clientCerts !== 'none',
    // Who brings none, or a wrong one, is told so over HTTP: clients make nothing of a connection that just ends.
    rejectUnauthorized: false,
  };
}

/** @param ticketKeys Those that all listeners of the router have; without them this one has its own. */
export function secureContextOptions(tls: ListenerTls, ticketKeys?: TicketKeys): TlsOptions {
  const { cert, key, clientCa, minVersion } = tls;
  return {
    ...{ cert, key, minVersion },
    ...(clientCa !== undefined && { ca: clientCa }),
    ...(ticketKeys && { ticketKeys: ticketKeys.of(tls) }),
  };
}

/** What a client lacks that the listener asks for; undefined where it may go on. */
export function objectionTo(socket: TLSSocket, clientCerts: ListenerTls['clientCerts']): string | undefined {
  if (clientCerts === 'none' || socket.authorized) return undefined;
  const presented = socket.getPeerX509Certificate() !== undefined;
  if (!presented) return clientCerts === 'required' ? 'a client certificate is required' : undefined;
  return `the client certificate is not accepted: ${String(socket.authorizationError)}`;
}

/**
 * The connections of a TLS listener that have not agreed on TLS yet: HTTP knows nothing of them. They are counted when
 * they fail, and those that speak plain HTTP are told so.
 */
export class Handshakes {
  readonly #pending = new Map<string, Socket>();

  constructor(server: TlsServer, onFailure: (failure: HandshakeFailure) => void) {
    server.on('connection', (socket: Socket) => {
      const name = nameOf(socket);
      this.#pending.set(name, socket);
      socket.once('close', () => {
        // The address may be that of another connection by now.
        if (this.#pending.get(name) === socket) this.#pending.delete(name);
      });
    });
    server.on('secureConnection', (socket: TLSSocket) => {
      const name = nameOf(socket);
      const carrier = this.#pending.get(name);
      if (carrier) noteCarrier(socket, carrier);
      this.#pending.delete(name);
    });
    // Node's own handler would answer as if it were HTTP.
    server.removeAllListeners('tlsClientError');
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      const failure = handshakeFailureOf(error);
      onFailure(failure);
      const below = this.#pending.get(nameOf(socket));
      if (failure === 'plain_http' && below) tellPlainClient(below);
      else socket.destroy();
    });
  }

  /** Ends them: who has not even said hello has asked for nothing. */
  cut(): void {
    for (const socket of this.#pending.values()) socket.destroy();
  }
}

/** TLS wraps a socket in another one; what both have in common is between whom they are. */
function nameOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

function tellPlainClient(socket: Duplex): void {
  socket.on('error', () => {
    socket.destroy();
  });
  refuseOn(socket, 'invalid_request', 'this port speaks HTTPS: use https://');
}

/** By OpenSSL's and Node's codes. */
export function handshakeFailureOf({ code = '' }: { readonly code?: string | undefined }): HandshakeFailure {
  if (code === 'ERR_SSL_HTTP_REQUEST') return 'plain_http';
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'timeout';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed';
  if (/ALERT_(BAD_|UNSUPPORTED_|UNKNOWN_)?(CERTIFICATE|CA)/.test(code)) return 'refused_by_client';
  if (/PROTOCOL|VERSION|NO_SHARED_CIPHER|NO_SUITABLE/.test(code)) return 'no_common_version';
  return 'other';
}
