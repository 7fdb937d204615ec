import type { Duplex, Readable } from 'node:stream';
import type { ErrorCode } from '../base/errors.ts';

/** One request as it goes to a worker. Headers are a flat list of names and values, already filtered. */
export interface WorkerRequest {
  readonly method: string;
  /** Path with query string, without the worker's own prefix. */
  readonly path: string;
  readonly headers: readonly string[];
  /** Bytes that can be sent again, or a stream that cannot. */
  readonly body: Buffer | Readable | undefined;
  /** Set for a WebSocket handshake. */
  readonly upgrade: 'websocket' | undefined;
  /** Must not reach the worker twice: it gets a fresh connection, since a kept-alive one may have died unnoticed. */
  readonly once?: boolean;
  /** Must not reach the worker twice, but may go over a kept-alive connection: where that dies, it has failed. */
  readonly single?: boolean;
  /** The router's own question: it may use the sockets that are kept back for such. */
  readonly reserved?: boolean;
}

/** What went wrong on the way to, in or from the worker. */
export interface TransportFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** Whether the request body may have begun to reach the worker. */
  readonly sent: boolean;
}

/** Receives one response. Exactly one of `onEnd`, `onFailure` and `onUpgrade` comes last; none after `abort()`. */
export interface ResponseSink {
  onConnected(): void;
  onHead(status: number, statusText: string, headers: readonly string[]): void;
  onData(chunk: Buffer): void;
  onEnd(trailers: readonly string[]): void;
  onFailure(failure: TransportFailure): void;
  onUpgrade(status: number, statusText: string, headers: readonly string[], socket: Duplex): void;
  /** A kept-alive connection had died unnoticed; the request is sent again on a fresh one. */
  onResent(): void;
}

/** A request under way. */
export interface Exchange {
  /** Stops reading from the worker until `resume`. */
  pause(): void;
  resume(): void;
  /** Destroys the worker's connection; the sink hears nothing more. */
  abort(): void;
}

/** How the router talks to one worker. One implementation per transport. */
export interface WorkerClient {
  send(request: WorkerRequest, sink: ResponseSink): Exchange;
  /** Closes idle connections and refuses new requests; running ones finish. */
  close(): void;
}
