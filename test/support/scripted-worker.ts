import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { startFleet, type Fleet, type FleetOptions } from './fleet.ts';

/** A request as the worker got it. */
export interface Received {
  readonly method: string;
  /** Path and query string, undecoded. */
  readonly url: string;
  /** Names and values, flat, as they were on the wire. */
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Answers one request; its body has been read. */
export type Script = (response: ServerResponse, request: Received) => void;

export interface ScriptedWorkerOptions {
  /** What `/v1/models` lists; default `['sim-model']`. */
  readonly models?: readonly string[];
  /** What `/version` says. */
  readonly version?: string;
  /** The `Date` of the probes' answers, in the place of the right one. */
  readonly date?: string;
  /** Path in front of every route. */
  readonly prefix?: string;
  readonly socketPath?: string;
  /** Options of `https.createServer`. */
  readonly tls?: ServerOptions;
  /** Answers before the body has been read; the request is not recorded. */
  readonly onHead?: RequestListener;
  readonly onUpgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

const OWN_PATHS = ['/health', '/v1/models', '/version'];
/** Health checks ask for these, too: answered as vLLM does that has no such route. Clients may ask for them as well. */
const ENGINE_STATES = ['/is_sleeping', '/is_paused', '/kv_event_sources'];

/** A worker that answers health, models and version by itself, and everything else as the test says. */
export interface ScriptedWorker extends AsyncDisposable {
  readonly url: string;
  /** What the router sent, the probes excluded, oldest first. */
  readonly received: readonly Received[];
  /** The latest one; throws when there is none. */
  readonly last: Received;
  /** The probes, oldest first. */
  readonly probes: readonly Received[];
  answer: Script;
  /** Connections so far, with or without a request on them. */
  readonly connections: number;
  /** Gives new connections another certificate. */
  renew(tls: ServerOptions): void;
}

/** Starts one on a free port of the loopback; by default it answers 200 with a small JSON object. */
export async function startScriptedWorker(
  answer: Script = answerJson,
  options: ScriptedWorkerOptions = {},
): Promise<ScriptedWorker> {
  const received: Received[] = [];
  const probes: Received[] = [];
  const { prefix = '', tls } = options;
  const onRequest: RequestListener = (request, response) => {
    if (options.onHead && !isProbe(request, prefix)) {
      options.onHead(request, response);
      return;
    }
    void readAll(request).then((body) => {
      const { method = '', url = '', rawHeaders, headers } = request;
      const entry = { method, url, rawHeaders, headers, body };
      if (isProbe(request, prefix)) {
        probes.push(entry);
        if (options.date !== undefined) response.setHeader('date', options.date);
        answerProbe(response, url.slice(prefix.length), options);
      } else {
        received.push(entry);
        worker.answer(response, entry);
      }
    });
  };
  // The router's limits are what is tested.
  const limits = { maxHeaderSize: 1024 * 1024 };
  const tlsServer = tls && createTlsServer({ ...limits, ...tls }, onRequest);
  const server = tlsServer ?? createServer(limits, onRequest);
  let connections = 0;
  server.maxHeadersCount = 0;
  const sockets = new Set<Duplex>();
  server.on('connection', (socket: Duplex) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  if (options.onUpgrade) server.on('upgrade', options.onUpgrade);
  if (options.socketPath === undefined) server.listen(0, '127.0.0.1');
  else server.listen(options.socketPath);
  await once(server, 'listening');
  const url =
    options.socketPath === undefined
      ? `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`
      : `unix://${options.socketPath}`;
  const worker: ScriptedWorker = {
    url,
    received,
    get last() {
      const last = received.at(-1);
      if (!last) throw new Error('the worker has received nothing');
      return last;
    },
    probes,
    answer,
    get connections() {
      return connections;
    },
    renew: (changed) => tlsServer?.setSecureContext(changed),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return worker;
}

/** A router in front of scripted workers. */
export function startRouter(
  workers: readonly ScriptedWorker[],
  options: Omit<FleetOptions, 'workers' | 'extraWorkerUrls'> = {},
): Promise<Fleet> {
  return startFleet({ ...options, workers: [], extraWorkerUrls: workers.map(({ url }) => url) });
}

export function answerJson(response: ServerResponse): void {
  response.writeHead(200, ['content-type', 'application/json', 'content-length', '11']).end('{"ok":true}');
}

/** Values of one header as the worker got them, in order. */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}

function isProbe({ method, url = '', headers }: IncomingMessage, prefix: string): boolean {
  const paths = headers['user-agent'] === 'vllm-router' ? [...OWN_PATHS, ...ENGINE_STATES] : OWN_PATHS;
  return method === 'GET' && paths.some((path) => url === prefix + path);
}

function answerProbe(response: ServerResponse, path: string, options: ScriptedWorkerOptions): void {
  if (ENGINE_STATES.includes(path)) {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"detail":"Not Found"}');
    return;
  }
  if (path === '/health') {
    response.writeHead(200).end();
    return;
  }
  const data = (options.models ?? ['sim-model']).map((id) => ({
    id,
    object: 'model',
    root: `/models/${id}`,
    max_model_len: 4096,
  }));
  const body = path === '/version' ? { version: options.version ?? '0.29.0' } : { object: 'list', data };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    for await (const part of request) parts.push(part as Buffer);
  } catch {
    // A request that broke off counts with what came of it.
  }
  return Buffer.concat(parts);
}
