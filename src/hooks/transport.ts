import type { Duplex } from 'node:stream';

/** One call as it goes to a hook service. */
export interface HookRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  /** Flat list of names and values. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly upgrade: undefined;
}

/** Receives one answer. Exactly one of `onEnd`, `onFailure` and `onUpgrade` comes last; none after `abort()`. */
export interface HookSink {
  onConnected(): void;
  onHead(status: number, statusText: string, headers: readonly string[]): void;
  onData(chunk: Buffer): void;
  onEnd(trailers: readonly string[]): void;
  onFailure(failure: { readonly code: string; readonly message: string }): void;
  onUpgrade(status: number, statusText: string, headers: readonly string[], socket: Duplex): void;
  /** A kept-alive connection had died unnoticed; the call is sent again on a fresh one. */
  onResent(): void;
}

/** Pooled connections to one hook service: the part of a worker's client that hooks need. */
export interface HookTransport {
  send(request: HookRequest, sink: HookSink): { abort(): void };
  /** Closes idle connections and refuses new calls; running ones finish. */
  close(): void;
}
