import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/** A response as it was on the wire. */
export interface RawResponse {
  readonly httpVersion: string;
  readonly status: number;
  readonly statusText: string;
  /** In order, names as written. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Without chunking. */
  readonly body: Buffer;
}

/** How the server ended a connection. */
export type RawEnd = 'closed' | 'reset';

/** A client that says exactly what the test wants, byte for byte. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly #parts: Buffer[] = [];
  #end: RawEnd | undefined;
  #wake: () => void = () => undefined;

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** The same over TLS; `options` are those of `tls.connect`. */
  static async connectTls(port: number, options: ConnectionOptions): Promise<RawClient> {
    const socket = connectTls({ port, host: '127.0.0.1', ...options });
    await once(socket, 'secureConnect');
    return new RawClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (part: Buffer) => {
      this.#parts.push(part);
      this.#wake();
    });
    socket.on('end', () => this.#ended('closed'));
    socket.on('error', () => this.#ended('reset'));
    socket.on('close', () => this.#ended('closed'));
  }

  /** Text is Latin-1: one character, one byte. */
  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** The next final response; `method` tells whether a body may follow. Interim ones are skipped unless asked for. */
  async response(options: { method?: string; interim?: boolean } = {}): Promise<RawResponse> {
    for (;;) {
      const response = await this.#read((bytes, ended) =>
        parseResponse(bytes, ended, options.method ?? 'GET'),
      );
      if (response.status >= 200 || options.interim === true || response.status === 101) return response;
    }
  }

  /** Exactly that many bytes. */
  bytes(count: number): Promise<Buffer> {
    return this.#read((all) =>
      all.length < count ? undefined : { value: all.subarray(0, count), used: count },
    );
  }

  /** Resolves when what has come and has not been read matches; reads nothing. */
  seen(pattern: RegExp): Promise<void> {
    return this.#read((bytes) =>
      pattern.test(bytes.toString('latin1')) ? { value: undefined, used: 0 } : undefined,
    );
  }

  /** Resolves when the server has ended the connection, with what had not been read. */
  async ended(): Promise<{ readonly how: RawEnd; readonly rest: Buffer }> {
    const rest = await this.#read((bytes, ended) =>
      ended ? { value: bytes, used: bytes.length } : undefined,
    );
    return { how: this.#end ?? 'closed', rest };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return;
    const closed = once(this.socket, 'close');
    this.socket.destroy();
    await closed;
  }

  #ended(how: RawEnd): void {
    if (this.#end !== 'reset') this.#end = how;
    this.#wake();
  }

  async #read<T>(
    take: (bytes: Buffer, ended: boolean) => { value: T; used: number } | undefined,
  ): Promise<T> {
    for (;;) {
      const all = Buffer.concat(this.#parts.splice(0));
      const taken = take(all, this.#end !== undefined);
      if (taken) {
        this.#parts.unshift(all.subarray(taken.used));
        return taken.value;
      }
      this.#parts.unshift(all);
      if (this.#end !== undefined)
        throw new Error(
          `the connection was ${this.#end} after ${JSON.stringify(all.toString('latin1').slice(0, 500))}`,
        );
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

interface Parsed {
  readonly value: RawResponse;
  readonly used: number;
}

function parseResponse(bytes: Buffer, ended: boolean, method: string): Parsed | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const [, httpVersion = '', status = '', statusText = ''] =
    /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(statusLine) ?? [];
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const start = headEnd + 4;
  const finish = (body: Buffer, used: number): Parsed => ({
    value: { httpVersion, status: Number(status), statusText, headers, body },
    used,
  });
  if (method === 'HEAD' || Number(status) < 200 || status === '204' || status === '304')
    return finish(Buffer.alloc(0), start);
  const length = headerValue(headers, 'content-length');
  if (length !== undefined) {
    const end = start + Number(length);
    return bytes.length < end ? undefined : finish(bytes.subarray(start, end), end);
  }
  if (headerValue(headers, 'transfer-encoding') === 'chunked') {
    const body = dechunk(bytes, start);
    return body && finish(body.body, body.end);
  }
  return ended ? finish(bytes.subarray(start), bytes.length) : undefined;
}

/** Sends one request on a connection of its own and reads the answer. */
export async function ask(port: number, request: string | Buffer, method?: string): Promise<RawResponse> {
  await using client = await RawClient.connect(port);
  client.send(request);
  return await client.response(method === undefined ? {} : { method });
}

/** First value of a header of a raw response. */
export function headerValue(headers: RawResponse['headers'], name: string): string | undefined {
  return headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

function dechunk(bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = start; ;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    const from = line + 2;
    if (bytes.length < from + size + 2) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), end: from + 2 };
    parts.push(bytes.subarray(from, from + size));
    at = from + size + 2;
  }
}
