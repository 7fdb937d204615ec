import { IncomingMessage, ServerResponse, STATUS_CODES, type OutgoingHttpHeaders } from 'node:http';
import { Socket } from 'node:net';
import type { AdminBody, AdminHead, AdminReply } from './exchange.ts';

/** The connection is elsewhere, perhaps in another thread; what is to be known of it stands in the head. */
const NO_CONNECTION = new Socket();

/** A request as Fastify wants to see it. Its body is read from the request it stands for. */
export class FastifyRequestView extends IncomingMessage {
  readonly head: AdminHead;
  /** Where its body comes from. */
  readonly source: AdminBody;

  constructor(head: AdminHead, source: AdminBody, target: string) {
    super(NO_CONNECTION);
    this.head = head;
    this.source = source;
    this.method = head.method;
    this.url = target;
    this.httpVersion = head.httpVersion;
    this.headers = byName(head.rawHeaders);
  }
}

/** The request that Fastify was given. */
export function viewOf(raw: IncomingMessage): FastifyRequestView {
  if (!(raw instanceof FastifyRequestView)) throw new TypeError('a request that did not come from the edge');
  return raw;
}

/** Takes Fastify's answer, head and body in one go, and hands it to the one that is owed. */
export class FastifyReplyWriter extends ServerResponse {
  readonly #reply: AdminReply;

  constructor(view: FastifyRequestView, reply: AdminReply) {
    super(view);
    this.#reply = reply;
    Object.defineProperty(this, 'headersSent', { get: () => reply.headersSent });
    reply.onClosed(() => {
      this.emit('close');
    });
  }

  override writeHead(status: number, ...rest: readonly unknown[]): this {
    // Fastify gives an object with lower-case names.
    const headers = rest.at(-1) as OutgoingHttpHeaders | undefined;
    if (this.#reply.closed) return this;
    this.#reply.writeHead(status, STATUS_CODES[status] ?? '', flat(headers ?? {}));
    return this;
  }

  override end(...args: readonly unknown[]): this {
    const [body] = args;
    this.#reply.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : undefined, () => {
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
