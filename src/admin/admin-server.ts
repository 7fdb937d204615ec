import { createServer } from 'node:http';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { needsRetryAfter, RouterError } from '../base/errors.ts';
import { randomAlphanumeric } from '../base/ids.ts';
import { readBody, refuseTooLong } from '../http/body.ts';
import { codingsOf, decodeBody } from '../http/content-coding.ts';
import { ADMIN_ERRORS, AdminError, type AdminErrorCode } from './admin-error.ts';
import type { AdminContext } from './context.ts';
import type { AdminBody, AdminHead, AdminReply } from './exchange.ts';
import { FastifyReplyWriter, FastifyRequestView, viewOf } from './fastify-exchange.ts';
import type { AdminMethod, AdminRoute, Answer } from './route.ts';
import { ADMIN_ROUTES } from './routes.ts';
import { invalid, validated } from './validate.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asked; undefined while that is not known. */
    who: string | undefined;
    /** What the handler noted for the audit line. */
    notes: Readonly<Record<string, unknown>> | undefined;
  }
  interface FastifyContextConfig {
    action?: string | undefined;
  }
}

/** Enough for a request with a long prompt that is to be explained. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** URLs of workers stand in paths. */
const MAX_PARAM_LENGTH = 4096;

/**
 * The worker and admin routes, served by Fastify. It has no listener of its own: the edge hands it the requests that
 * are for it, with the normalised path as their URL.
 */
export class AdminServer {
  readonly #app: FastifyInstance;
  readonly #context: AdminContext;

  constructor(context: AdminContext) {
    this.#context = context;
    this.#app = Fastify({
      logger: false,
      exposeHeadRoutes: true,
      // The edge refuses what is not HTTP and closes connections; this server is never listened on.
      serverFactory: (handler) => createServer(handler),
      forceCloseConnections: false,
      return503OnClosing: false,
      frameworkErrors: (error, request, reply) => void this.#sendError(error, request, reply),
      genReqId: () => `req-${randomAlphanumeric(24)}`,
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH, ignoreTrailingSlash: true },
    });
    this.#prepare();
  }

  async ready(): Promise<void> {
    await this.#app.ready();
  }

  /** Serves one request; `target` is its own, as the routes have it. */
  handle(head: AdminHead, body: AdminBody, reply: AdminReply, target: string): void {
    const view = new FastifyRequestView(head, body, target);
    this.#app.routing(view, new FastifyReplyWriter(view, reply));
  }

  async close(): Promise<void> {
    await this.#app.close();
  }

  #prepare(): void {
    const app = this.#app;
    app.decorateRequest('who', undefined);
    app.decorateRequest('notes', undefined);
    app.removeAllContentTypeParsers();
    // Whatever the content type says: the bodies are JSON, and curl says form data unless told otherwise.
    app.addContentTypeParser('*', (request: FastifyRequest) => this.#readJson(request));
    app.addHook('onRequest', (request, reply, done) => {
      this.#admit(request, reply, done);
    });
    app.addHook('onSend', (request, reply, payload, done) => {
      this.#audit(request, reply);
      done(null, payload);
    });
    app.setErrorHandler((error, request, reply) => this.#sendError(error, request, reply));
    app.setNotFoundHandler((request, reply) => this.#notFound(request, reply));
    for (const row of ADMIN_ROUTES) this.#mount(row);
  }

  #mount(row: AdminRoute): void {
    this.#app.route({
      method: row.method,
      url: row.path.replace(/\{(\w+)\}/g, ':$1'),
      config: { action: row.action },
      handler: async (request, reply) => {
        const answer = await row.handle(this.#context, {
          body: row.body && validated(row.body, request.body, ''),
          query: row.query && validated(row.query, request.query, 'query'),
          url: paramOf(request, 'url'),
          name: paramOf(request, 'name'),
          note: (fields) => {
            request.notes = { ...request.notes, ...fields };
          },
        });
        if (row.action !== undefined) await this.#context.caughtUp();
        return send(reply, answer);
      },
    });
  }

  async #readJson(request: FastifyRequest): Promise<unknown> {
    const { bodyBytes, clock, settings } = this.#context;
    const limits = {
      maxBytes: Math.min(MAX_BODY_BYTES, settings.listen.maxPayloadSize),
      idleTimeoutMs: settings.listen.bodyIdleTimeoutMs,
    };
    const { head, source } = viewOf(request.raw);
    refuseTooLong(head, limits.maxBytes);
    const codings = codingsOf(head.rawHeaders);
    const held = await readBody(source, limits, bodyBytes, clock);
    try {
      if (codings.length === 0) return parsed(held.bytes);
      const plain = await decodeBody(held.bytes, codings, limits, bodyBytes);
      plain.release();
      return parsed(plain.bytes);
    } finally {
      held.release();
    }
  }

  #admit(request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    reply.header('x-request-id', request.id);
    reply.header('cache-control', 'no-store');
    const { verdict } = viewOf(request.raw).head;
    if (verdict.kind === 'admitted') {
      request.who = verdict.who;
      done();
      return;
    }
    if (verdict.code === 'UNAUTHORIZED') reply.header('www-authenticate', 'Bearer');
    done(new AdminError(verdict.code, verdict.message));
  }

  #notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = request.url.replace(/\?.*$/s, '');
    const methods = new Set<AdminMethod>();
    for (const { method, path: template } of ADMIN_ROUTES) {
      if (new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path)) methods.add(method);
    }
    if (methods.size === 0)
      return sendError(reply, 'NOT_FOUND', 'no such route; /admin/openapi.json lists them');
    // Fastify answers HEAD wherever it answers GET.
    reply.header(
      'allow',
      [...methods].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : method)).join(', '),
    );
    return sendError(reply, 'METHOD_NOT_ALLOWED', `${request.method} is not offered on ${path}`);
  }

  #sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (error instanceof AdminError) return sendError(reply, error.code, error.message, error.details);
    if (error instanceof RouterError) {
      const code = BODY_ERRORS[error.code];
      if (code) return sendError(reply, code, error.message);
    }
    // Fastify's own refusals: a URL that does not decode, a parameter that is too long, a type that is none.
    const status = (error as { readonly statusCode?: unknown }).statusCode;
    if (status === 400 || status === 414 || status === 415)
      return sendError(reply, 'INVALID_REQUEST', 'the request cannot be read');
    this.#context.log.error({ request_id: request.id, err: error }, 'unexpected error in an admin route');
    return sendError(reply, 'INTERNAL', `internal error; see the router's log for request ${request.id}`);
  }

  /** One line for everything that was done, and for everybody who was turned away. */
  #audit(request: FastifyRequest, reply: FastifyReply): void {
    const { action } = request.routeOptions.config;
    const changes = request.method !== 'GET' && request.method !== 'HEAD';
    const status = reply.statusCode;
    if (!changes && status !== 401 && status !== 403) return;
    const fields = {
      action: action ?? 'none',
      who: request.who ?? 'unknown',
      peer: viewOf(request.raw).head.peer,
      request_id: request.id,
      http_method: request.method,
      path: request.url.slice(0, 512),
      status,
      ...request.notes,
    };
    if (status < 400) this.#context.log.info(fields, 'admin action');
    else this.#context.log.warn(fields, 'admin action refused');
  }
}

/** What stands in the path in that place, decoded; empty on routes without it. */
function paramOf({ params }: FastifyRequest, name: string): string {
  return (params as Readonly<Record<string, string | undefined>>)[name] ?? '';
}

function parsed(bytes: Buffer): unknown {
  const text = bytes.toString('utf8');
  try {
    return text.trim() === '' ? undefined : (JSON.parse(text) as unknown);
  } catch {
    // What the parser says quotes the body, which may have a key in it.
    throw invalid([{ path: '', message: 'the body is not valid JSON' }]);
  }
}

const BODY_ERRORS: Readonly<Partial<Record<string, AdminErrorCode>>> = {
  payload_too_large: 'PAYLOAD_TOO_LARGE',
  unsupported_encoding: 'UNSUPPORTED_ENCODING',
  invalid_encoding: 'INVALID_REQUEST',
  body_timeout: 'BODY_TIMEOUT',
  inflight_bytes_exceeded: 'QUEUE_FULL',
  client_closed: 'INVALID_REQUEST',
};

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  reply.code(answer.status);
  if ('text' in answer) return reply.type('text/plain; charset=utf-8').send(answer.text);
  if (answer.headers) reply.headers(answer.headers);
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer.json));
}

function sendError(
  reply: FastifyReply,
  code: AdminErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  const { status } = ADMIN_ERRORS[code];
  if (needsRetryAfter(status)) reply.header('retry-after', '1');
  return send(reply, { status, json: { error: message, code, ...details } });
}
