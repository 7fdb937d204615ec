import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { systemClock } from '../base/system-clock.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { observeProcess } from './process-metrics.ts';
import { observeThread, ONLY_THREAD } from './thread-metrics.ts';

export interface MetricsServerDeps {
  readonly metrics: Metrics;
  readonly log: Log;
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly clock?: Clock;
  /** Brings in what other threads have counted, before each scrape. */
  readonly gather?: (() => Promise<void>) | undefined;
  /** What this thread is called in the series of threads. */
  readonly thread?: string;
  /** The connections of clients in this thread; absent where it has none. */
  readonly connections?: (() => number) | undefined;
  /** Scrapes at once; one is the rule, each holds a piece of text. */
  readonly maxConnections?: number;
}

/** How long `stop` waits for a scrape that is under way. */
const STOP_MS = 1000;
const MAX_CONNECTIONS = 64;

/** Serves the exposition on a listener of its own, `/metrics` and `/`. Feeds the process series while it runs. */
export class MetricsServer {
  readonly #deps: MetricsServerDeps;
  readonly #clock: Clock;
  #server: Server | undefined;
  #stopProcess: (() => void) | undefined;

  constructor(deps: MetricsServerDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
  }

  /** Resolves to the port. Rejects with the system's error when it cannot listen there. */
  async start(): Promise<number> {
    if (this.#server) throw new Error('the metrics server is running');
    const server = createServer(
      { headersTimeout: 10_000, requestTimeout: 10_000, maxHeaderSize: 8192 },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          this.#deps.log.warn({ err: error }, 'a scrape failed');
          response.destroy();
        });
      },
    );
    server.maxConnections = this.#deps.maxConnections ?? MAX_CONNECTIONS;
    // A scraper that stops reading is cut.
    server.timeout = 30_000;
    this.#server = server;
    try {
      server.listen(this.#deps.port, this.#deps.host);
      await once(server, 'listening');
    } catch (error) {
      this.#server = undefined;
      throw error;
    }
    server.on('error', (error) => {
      this.#deps.log.debug({ err: error }, 'a scraper could not connect');
    });
    const stopProcess = observeProcess(this.#deps.metrics, this.#clock);
    const stopThread = observeThread(this.#deps.metrics, {
      thread: this.#deps.thread ?? ONLY_THREAD,
      connections: this.#deps.connections,
    });
    this.#stopProcess = () => {
      stopProcess();
      stopThread();
    };
    // A TCP listener's address is never a string or null.
    return (server.address() as AddressInfo).port;
  }

  /** Lets a scrape that is under way end, for a moment, then closes everything. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.#stopProcess?.();
    const closed = once(server, 'close');
    server.close();
    const timer = this.#clock.after(STOP_MS, () => {
      server.closeAllConnections();
    });
    await closed;
    timer.cancel();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== '/metrics' && path !== '/') {
      refuse(response, 404, 'metrics are at /metrics\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      refuse(response, 405, 'use GET\n');
      return;
    }
    response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    await this.#deps.gather?.();
    for await (const piece of this.#deps.metrics.registry.expose()) {
      if (response.destroyed) return;
      if (!response.write(piece)) await writable(response);
    }
    response.end();
  }
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
}

/** Resolves when the scraper has taken what was written, or has left. */
function writable(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    if (response.destroyed) {
      resolve();
      return;
    }
    response.once('drain', done);
    response.once('close', done);
  });
}
