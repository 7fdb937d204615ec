import { METHODS } from 'node:http';
import { HTTPParser, type NativeParser } from './native-parser.ts';

export interface LlhttpHead {
  /** Of requests. */
  readonly method: string;
  readonly target: string;
  /** Of responses. */
  readonly status: number;
  readonly version: string;
  readonly headers: string[];
  readonly keepAlive: boolean;
  readonly upgrades: boolean;
}

export interface LlhttpEvents {
  /** @returns whether a body may follow, whatever the head says. */
  onHead(head: LlhttpHead): boolean;
  onBody(piece: Buffer): void;
  onEnd(trailers: string[]): void;
}

/** Reads messages one behind the other with Node's parser, as strict as `node:http` has it. */
export class LlhttpReader implements Disposable {
  error: string | undefined;
  readonly #parser: NativeParser = new HTTPParser();

  constructor(kind: 'requests' | 'responses', maxHeadBytes: number, events: LlhttpEvents) {
    const parser = this.#parser;
    let target = '';
    let more: string[] = [];
    parser.initialize(kind === 'requests' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, maxHeadBytes);
    parser[HTTPParser.kOnHeaders | 0] = (headers: string[], url: string) => {
      more = [...more, ...headers];
      target += url;
    };
    parser[HTTPParser.kOnHeadersComplete | 0] = (
      ...[major, minor, headers, method, url, status, , upgrades, keepAlive]: HeadersComplete
    ) => {
      const head = {
        method: METHOD_NAMES.get(method) ?? '',
        target: target + (url ?? ''),
        status,
        version: `${major}.${minor}`,
        headers: [...more, ...(headers ?? [])],
        keepAlive,
        upgrades,
      };
      target = '';
      more = [];
      return events.onHead(head) ? 0 : 1;
    };
    parser[HTTPParser.kOnBody | 0] = (piece: Buffer) => {
      events.onBody(piece);
    };
    parser[HTTPParser.kOnMessageComplete | 0] = () => {
      const trailers = more;
      more = [];
      // With trailers comes the last one again.
      target = '';
      events.onEnd(trailers);
    };
  }

  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && this.error === undefined;) {
      const result = this.#parser.execute(bytes.subarray(at));
      if (result instanceof Error) this.error = result.message;
      else if (result === 0) this.error = 'nothing read';
      // It stops behind a message that would switch protocols.
      else at += result;
    }
  }

  /** No more comes. */
  finish(): void {
    if (this.error !== undefined) return;
    const result = this.#parser.finish();
    if (result instanceof Error) this.error = result.message;
  }

  [Symbol.dispose](): void {
    this.#parser.close();
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
  parser.close();
  return number;
}
