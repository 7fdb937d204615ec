import { ByteCollector } from '../base/byte-collector.ts';
import type { HttpHookSettings } from '../config/settings/settings.ts';
import { headerOf, headerValue } from '../http/headers.ts';
import type { Blame, Hook, HookInput, HookVerdict } from './hook.ts';
import { readVerdict } from './read-verdict.ts';
import type { HookRequest, HookTransport } from './transport.ts';

/** Memory for answers, shared with the bodies of requests. */
export interface AnswerBytes {
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** What a hook is told of a request beside its body. */
export const HEADER_REQUEST_ID = 'x-request-id';
export const HEADER_ROUTE = 'x-vllm-router-route';
export const HEADER_MODEL = 'x-vllm-router-model';
export const HEADER_TENANT = 'x-vllm-tenant';
/** Passed on where the client sent them. */
const TRACE_HEADERS = ['traceparent', 'tracestate'];

/** A hook that is a service: asked over HTTP with the body of the request. */
export class HttpHook implements Hook {
  #settings: HttpHookSettings;
  #fixed: readonly string[];
  readonly #transport: HookTransport;
  readonly #bytes: AnswerBytes;

  constructor(settings: HttpHookSettings, deps: { transport: HookTransport; bytes: AnswerBytes }) {
    this.#settings = settings;
    this.#fixed = fixedHeaders(settings);
    this.#transport = deps.transport;
    this.#bytes = deps.bytes;
  }

  /** Other headers and limits for the same service; its connections stay. */
  reconfigure(settings: HttpHookSettings): void {
    this.#settings = settings;
    this.#fixed = fixedHeaders(settings);
  }

  run(input: HookInput, signal: AbortSignal): Promise<HookVerdict> {
    const { address, maxResponseBytes } = this.#settings;
    const request: HookRequest = {
      method: 'POST',
      path: address.path,
      headers: this.#headersFor(input),
      body: input.body,
      upgrade: undefined,
    };
    return ask(this.#transport, request, { signal, maxBytes: maxResponseBytes, bytes: this.#bytes });
  }

  close(): void {
    this.#transport.close();
  }

  #headersFor(input: HookInput): string[] {
    const headers = [
      ...this.#fixed,
      ...['content-type', input.contentType, HEADER_REQUEST_ID, input.requestId],
      ...[HEADER_ROUTE, input.route],
    ];
    if (input.model !== '') headers.push(HEADER_MODEL, headerValue(input.model));
    if (input.tenant !== undefined) headers.push(HEADER_TENANT, headerValue(input.tenant));
    for (const name of [...TRACE_HEADERS, ...this.#settings.forwardHeaders]) {
      const value = headerOf(input.headers, name);
      if (value !== undefined && headerOf(headers, name) === undefined) headers.push(name, value);
    }
    return headers;
  }
}

function fixedHeaders({ headers, authorization }: HttpHookSettings): string[] {
  const fixed = [...headers];
  if (authorization !== undefined) fixed.push('authorization', authorization);
  fixed.push('accept', 'application/json');
  return fixed;
}

interface AskLimits {
  readonly signal: AbortSignal;
  readonly maxBytes: number;
  readonly bytes: AnswerBytes;
}

/** Sends one call and reads the whole answer, within limits. Never resolves once the signal has come: nobody listens. */
function ask(transport: HookTransport, request: HookRequest, limits: AskLimits): Promise<HookVerdict> {
  const { signal, maxBytes, bytes } = limits;
  return new Promise((resolve) => {
    let status = 0;
    const answer = new ByteCollector();
    const stop = (): void => {
      signal.removeEventListener('abort', onAbort);
      bytes.give(answer.size);
      answer.clear();
    };
    const fail = (message: string, blame: Blame = 'hook'): void => {
      stop();
      resolve({ action: 'error', message, blame });
    };
    const onAbort = (): void => {
      exchange.abort();
      stop();
    };
    const exchange = transport.send(request, {
      onConnected() {
        /* the one timeout of the chain covers every phase */
      },
      onHead(headStatus) {
        status = headStatus;
        if (isGood(status)) return;
        exchange.abort();
        // A client error is about this request: it says nothing about the next one.
        fail(`it answered with status ${status}`, isAboutRequest(status) ? 'request' : 'hook');
      },
      onData(chunk) {
        if (answer.size + chunk.length > maxBytes) {
          exchange.abort();
          fail(`its answer is larger than ${maxBytes} bytes (max_response_bytes)`, 'request');
        } else if (!bytes.take(chunk.length)) {
          exchange.abort();
          fail('there is no memory left for its answer (max_inflight_body_bytes)', 'request');
        } else {
          answer.push(chunk);
        }
      },
      onEnd() {
        const { size } = answer;
        const verdict = readVerdict(answer.take());
        bytes.give(size);
        stop();
        resolve(verdict);
      },
      onFailure(failure) {
        fail(failure.message, failure.code === 'out_of_sockets' ? 'router' : 'hook');
      },
      onUpgrade(_status, _text, _headers, socket) {
        socket.destroy();
        fail('it switched protocols without being asked');
      },
      onResent() {
        /* the service closed the connection while it was idle: nothing to count */
      },
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

function isGood(status: number): boolean {
  return status >= 200 && status < 300;
}

function isAboutRequest(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}
