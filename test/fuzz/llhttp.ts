/** Node's own parser, alone: what the router's must never be looser than. */
import { createRequire } from 'node:module';
import type { ReadResponse } from './read-response.ts';

/** What is used of Node's internal binding; it has no types. */
interface NativeParser {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | undefined;
  [callback: number]: (...args: never[]) => unknown;
}

interface Binding {
  readonly HTTPParser: {
    new (): NativeParser;
    readonly RESPONSE: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
}

// It is in no types, being internal; nothing else gives the parser without a socket.
const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as Binding;

/** Reads one final response and the interim ones before it. */
export function readWithLlhttp(bytes: Buffer, method: string, ended: boolean): ReadResponse {
  const read: ReadResponse = {
    error: undefined,
    statuses: [],
    headers: [],
    body: '',
    trailers: [],
    done: false,
  };
  const parser = new HTTPParser();
  let more: string[] = [];
  let interim = false;
  parser.initialize(HTTPParser.RESPONSE, {});
  parser[HTTPParser.kOnHeaders | 0] = (headers: string[]) => {
    more = [...more, ...headers];
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (
    ...[, , headers, , , status]: [number, number, string[] | undefined, number, string, number]
  ) => {
    read.statuses.push(status);
    interim = status < 200 && status !== 101;
    if (!read.done && !interim) read.headers = [...more, ...(headers ?? [])];
    more = [];
    return method === 'HEAD' ? 1 : 0;
  };
  parser[HTTPParser.kOnBody | 0] = (piece: Buffer) => {
    if (!read.done) read.body += piece.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    if (interim) return;
    if (!read.done) read.trailers = more;
    more = [];
    read.done = true;
  };
  const result = parser.execute(bytes);
  if (result instanceof Error) read.error = result.message;
  else if (ended && !read.done) {
    const error = parser.finish();
    if (error instanceof Error) read.error = error.message;
  }
  return read;
}
