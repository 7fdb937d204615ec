import { IncomingMessage, ServerResponse, STATUS_CODES, type OutgoingHttpHeaders } from 'node:http';
import type { EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';

/** A request as Fastify wants to see it. Its body is read from the request it stands for. */
export class FastifyRequestView extends IncomingMessage {
  readonly edge: EdgeRequest;

  constructor(edge: EdgeRequest, target: string) {
    super(edge.socket);
    this.edge = edge;
    this.method = edge.method;
    this.url = target;
    this.httpVersion = edge.httpVersion;
    this.headers = byName(edge.rawHeaders);
  }
}

/** The request that Fastify was given a view of. */
export function edgeRequestOf(raw: IncomingMessage): EdgeRequest {
  if (!(raw instanceof FastifyRequestView)) throw new TypeError('a request that did not come from the edge');
  return raw.edge;
}

/** Takes Fastify's answer, head and body in one go, and hands it to the one that is owed. */
export class FastifyReplyWriter extends ServerResponse {
  readonly #edge: EdgeResponse;

  constructor(view: FastifyRequestView, edge: EdgeResponse) {
    super(view);
    this.#edge = edge;
    Object.defineProperty(this, 'headersSent', { get: () => edge.headersSent });
    edge.onClosed(() => {
      this.emit('close');
    });
  }

  override writeHead(status: number, ...rest: readonly unknown[]): this {
    // Fastify gives an object with lower-case names.
    const headers = rest.at(-1) as OutgoingHttpHeaders | undefined;
    if (this.#edge.closed) return this;
    this.#edge.writeHead(status, STATUS_CODES[status] ?? '', flat(headers ?? {}));
    return this;
  }

  override end(...args: readonly unknown[]): this {
    const [body] = args;
    this.#edge.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : undefined, () => {
      this.emit('finish');
    });
    return this;
  }
}

function byName(flatHeaders: readonly string[]): Record<string, string> {
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < flatHeaders.length; at += 2) {
    const name = (flatHeaders[at] ?? '').toLowerCase();
    const before = headers.get(name);
    const value = flatHeaders[at + 1] ?? '';
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(headers);
}

function flat(headers: OutgoingHttpHeaders): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).flatMap((one) => (one === undefined ? [] : [name, String(one)])),
  );
}
