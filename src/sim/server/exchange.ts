import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseFields, type Fields } from './fields.ts';
import type { RequestTransfer } from '../kv-transfer/request-transfer.ts';
import type { Reply } from './reply.ts';

/** A request as it came, kept for tests. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query string, undecoded. */
  readonly url: string;
  /** Names and values, flat, as they were on the wire. */
  readonly rawHeaders: readonly string[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** `aborted`: the client left first; `cut`: a fault closed or reset the connection. */
  outcome: 'open' | 'finished' | 'aborted' | 'cut';
}

/** One request and its answer. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly reply: Reply;
  /** Without the query string, undecoded. */
  readonly path: string;
  readonly body: Buffer;
  /** The variable part of the path (`/v1/responses/{id}`), decoded; else ''. */
  pathId = '';
  /** Where the KV cache of the prompt goes to another worker, or comes from one. */
  transfer: RequestTransfer | undefined;
  /** vLLM's base id of the request, once it has been asked for. */
  id: string | undefined;
  #fields: Fields | undefined;
  /** Called once if the client leaves before the answer is complete. */
  onAbort: (() => void) | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, reply: Reply, path: string, body: Buffer) {
    this.request = request;
    this.response = response;
    this.reply = reply;
    this.path = path;
    this.body = body;
  }

  /** The body, read once. Throws an ApiError. */
  get fields(): Fields {
    return (this.#fields ??= parseFields(this.body));
  }

  get query(): URLSearchParams {
    return new URLSearchParams((this.request.url ?? '').slice(this.path.length));
  }
}

export function fieldsOf(exchange: Exchange): Fields {
  return exchange.fields;
}

export function header(exchange: Exchange, name: string): string | undefined {
  const value = exchange.request.headers[name];
  return typeof value === 'string' ? value : undefined;
}
