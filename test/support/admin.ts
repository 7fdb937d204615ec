import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Fleet } from './fleet.ts';

/** Whatever the answer says: a test looks into it and fails where it is not what it expects. */
export type Parsed = ReturnType<typeof JSON.parse>;

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The body, parsed where it is JSON. */
  readonly body: Parsed;
}

export type AdminCall = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<AdminAnswer>;

/** Calls worker and admin routes of a router. */
export function adminOf(fleet: Pick<Fleet, 'url'>, key?: string): AdminCall {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(fleet.url + path, {
      method,
      headers: { ...(key === undefined ? {} : { 'x-admin-key': key }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  };
}

/** Asks for a worker until its job has ended; resolves to the last answer. */
export async function settledWorker(admin: AdminCall, url: string): Promise<AdminAnswer> {
  for (;;) {
    const answer = await admin('GET', `/workers/${encodeURIComponent(url)}`);
    const status: unknown = answer.body.job?.status;
    if (status !== 'queued' && status !== 'running') return answer;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Many workers behind one port: every first path segment is one, e.g. `http://127.0.0.1:4321/w17`. */
export interface WorkerFarm extends AsyncDisposable {
  readonly url: (name: string) => string;
  /** Answered requests by worker, the probes excluded. */
  readonly served: ReadonlyMap<string, number>;
}

/** Every worker of it is healthy, lists `farm-model` and answers whatever else with a small JSON object. */
export async function startFarm(): Promise<WorkerFarm> {
  const served = new Map<string, number>();
  const server: Server = createServer((request, response) => {
    const [, name = '', path = ''] = /^\/([^/]+)(\/.*)?$/.exec(request.url ?? '') ?? [];
    request.resume().once('end', () => {
      const probe = PROBES[path];
      if (probe === undefined) served.set(name, (served.get(name) ?? 0) + 1);
      const answer = JSON.stringify(probe ?? { id: name, object: 'chat.completion', choices: [] });
      response
        .writeHead(200, ['content-type', 'application/json', 'content-length', String(answer.length)])
        .end(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: (name) => `http://127.0.0.1:${port}/${name}`,
    served,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const PROBES: Readonly<Record<string, object>> = {
  '/health': {},
  '/version': { version: '0.29.0' },
  '/v1/models': { object: 'list', data: [{ id: 'farm-model', object: 'model' }] },
  '/metrics': {},
  '/tokenize': {},
  '/v1/responses': {},
  '/v1/messages': {},
  '/reset_prefix_cache': {},
};
