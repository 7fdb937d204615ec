import { METHODS } from 'node:http';
import { HTTPParser, type NativeParser } from './native-parser.ts';
import type { ReadRequest } from './read-requests.ts';

/** Reads requests with Node's parser, as strict as `node:http` has it. */
export class LlhttpRequests {
  readonly requests: ReadRequest[] = [];
  error: string | undefined;
  /** How many of them have ended. */
  ended = 0;
  readonly #parser: NativeParser = new HTTPParser();

  constructor(maxHeadBytes: number) {
    const parser = this.#parser;
    let target = '';
    let more: string[] = [];
    parser.initialize(HTTPParser.REQUEST, {}, maxHeadBytes);
    parser[HTTPParser.kOnHeaders | 0] = (headers: string[], url: string) => {
      more = [...more, ...headers];
      target += url;
    };
    parser[HTTPParser.kOnHeadersComplete | 0] = (
      ...[major, minor, headers, method, url, , , upgrades, keepAlive]: HeadersComplete
    ) => {
      this.requests.push({
        method: METHOD_NAMES.get(method) ?? '',
        target: target + (url ?? ''),
        version: `${major}.${minor}`,
        headers: [...more, ...(headers ?? [])],
        keepAlive,
        upgrades,
        body: '',
        trailers: undefined,
      });
      target = '';
      more = [];
      // A server that does not care to switch.
      return 0;
    };
    parser[HTTPParser.kOnBody | 0] = (piece: Buffer) => {
      const request = this.requests.at(-1);
      if (request) request.body += piece.toString('latin1');
    };
    parser[HTTPParser.kOnMessageComplete | 0] = () => {
      const request = this.requests.at(-1);
      if (request) request.trailers = more;
      more = [];
      // With trailers comes the last one again.
      target = '';
      this.ended += 1;
    };
  }

  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && this.error === undefined;) {
      const result = this.#parser.execute(bytes.subarray(at));
      if (result instanceof Error) this.error = result.message;
      else if (result === 0) this.error = 'nothing read';
      // It stops behind a request that would switch protocols.
      else at += result;
    }
  }
}

type HeadersComplete = [
  major: number,
  minor: number,
  headers: string[] | undefined,
  method: number,
  url: string | undefined,
  status: number,
  statusMessage: string,
  upgrades: boolean,
  keepAlive: boolean,
];

/** Node's parser tells of methods by number, and of those numbers nowhere. */
const METHOD_NAMES = new Map(METHODS.map((name) => [numberOf(name), name]));

function numberOf(name: string): number {
  const parser: NativeParser = new HTTPParser();
  let number = -1;
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HTTPParser.kOnHeadersComplete | 0] = (...[, , , method]: HeadersComplete) => {
    number = method;
    return 0;
  };
  parser.execute(Buffer.from(`${name} / HTTP/1.1\r\n\r\n`));
  return number;
}
