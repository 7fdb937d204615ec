import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { ByteCollector } from '../../base/byte-collector.ts';
import { isFields, type Fields } from '../server/fields.ts';

const MAX_BODY_BYTES = 16 * 1024 * 1024;

export interface SideAnswer {
  readonly status: number;
  readonly body: object;
}

/** What others may ask. `gone` calls back when who asked has left; the answer may come at any time. */
export type SideHandler = (
  path: string,
  body: Fields,
  answer: (answer: SideAnswer) => void,
  gone: (left: () => void) => void,
) => void;

/**
 * Where one simulated worker asks another for KV cache: NIXL's side channel, Mooncake's bootstrap server and the ports of the
 * other connectors in one, and JSON over HTTP in the place of their own protocols. No router and no client calls it but for
 * `GET /query`.
 */
export class SideChannel {
  readonly #host: string;
  readonly #server: Server;
  #port: number;

  constructor(host: string, port: number, handler: SideHandler) {
    this.#host = host;
    this.#port = port;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      receive(request, response, handler);
    });
  }

  get port(): number {
    return this.#port;
  }

  get isOpen(): boolean {
    return this.#server.listening;
  }

  /** Rejects with the system's error where it cannot listen; the second time it listens at the same port. */
  async open(): Promise<void> {
    const listening = once(this.#server, 'listening');
    this.#server.listen(this.#port, this.#host);
    await listening;
    // The cast is what Node documents for a server that listens on a port.
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Cuts every connection. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

function receive(request: IncomingMessage, response: ServerResponse, handler: SideHandler): void {
  const parts = new ByteCollector();
  let size = 0;
  request.on('data', (part: Buffer) => {
    size += part.length;
    if (size <= MAX_BODY_BYTES) parts.push(part);
    else request.destroy();
  });
  request.on('error', () => undefined);
  request.on('end', () => {
    const answer = ({ status, body }: SideAnswer): void => {
      if (response.destroyed || response.headersSent) return;
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    const body = fieldsOf(parts.take());
    if (!body) {
      answer({ status: 400, body: { error: 'expected a JSON object' } });
      return;
    }
    handler(request.url ?? '/', body, answer, (left) => response.once('close', left));
  });
}

function fieldsOf(bytes: Buffer): Fields | undefined {
  if (bytes.length === 0) return {};
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
