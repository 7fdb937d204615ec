/** Node's own parser, alone: what the router's must never be looser than. */
import { createRequire } from 'node:module';

/** What is used of Node's internal binding; it has no types. */
export interface NativeParser {
  initialize(type: number, resource: object, maxHeaderSize?: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | undefined;
  /** Without it nothing of it is ever given back. */
  close(): void;
  [callback: number]: (...args: never[]) => unknown;
}

interface Binding {
  readonly HTTPParser: {
    new (): NativeParser;
    readonly REQUEST: number;
    readonly RESPONSE: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
}

// It is in no types, being internal; nothing else gives the parser without a socket.
export const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as Binding;
