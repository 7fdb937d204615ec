import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ByteCollector } from '../../base/byte-collector.ts';
import type { Clock } from '../../base/clock.ts';
import { simClock } from '../engine/sim-clock.ts';
import type { SimWorker } from '../server/sim-worker.ts';
import type { LmcacheFault } from './lmcache-faults.ts';
import { answerLmcache, lie, type LmcacheApi, type SimInstance } from './lmcache-routes.ts';
import { StoredChunks } from './stored-chunks.ts';

export interface SimLmcacheOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default controller. */
  readonly api?: LmcacheApi;
  /** Tokens of a chunk, a multiple of the workers' blocks. Default 256. */
  readonly chunkSize?: number;
  /** The bearer key that it wants, as a proxy in front of a real one does. Default none. */
  readonly apiKey?: string;
  /** LoRA adapters of the workers, whose caches are apart. Default none. */
  readonly adapters?: readonly string[];
  readonly fault?: LmcacheFault | undefined;
}

/** A simulated controller that runs. */
export interface SimLmcache {
  readonly url: string;
  /** URL of each worker by the id of its instance. */
  readonly workerMap: Readonly<Record<string, string>>;
  /** Requests that came, `GET /path`. */
  readonly seen: readonly string[];
  /** From the next request on; undefined: none. */
  fault: LmcacheFault | undefined;
  stop(): Promise<void>;
}

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MOST_SEEN = 1000;

/**
 * Starts a controller of LMCache for these workers, which have CPU caches (`cpuBlocks`). Rejects where it cannot listen.
 */
export async function startSimLmcache(
  workers: readonly SimWorker[],
  options: SimLmcacheOptions = {},
): Promise<SimLmcache> {
  const controller = new LmcacheServer(workers, options, simClock);
  await controller.listen(options.host ?? '127.0.0.1', options.port ?? 0);
  return controller;
}

class LmcacheServer implements SimLmcache {
  readonly workerMap: Readonly<Record<string, string>>;
  readonly seen: string[] = [];
  url = '';
  fault: LmcacheFault | undefined;
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #options: SimLmcacheOptions;
  readonly #chunks: StoredChunks;
  readonly #blockSize: number;
  readonly #instances: readonly SimInstance[];
  readonly #startedAt: number;

  constructor(workers: readonly SimWorker[], options: SimLmcacheOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#startedAt = clock.wall() / 1000;
    this.fault = options.fault;
    this.#blockSize = workers[0]?.model.settings.blockSize ?? 16;
    this.#chunks = new StoredChunks((options.chunkSize ?? 256) / this.#blockSize);
    this.#instances = workers.map(({ host, engines }, index) => ({
      ...{ id: `sim-${index + 1}`, host, ranks: engines.length },
    }));
    this.workerMap = Object.fromEntries(workers.map(({ url }, index) => [`sim-${index + 1}`, url]));
    for (const [index, { engines }] of workers.entries())
      for (const { cpuCache } of engines) if (cpuCache) this.#chunks.follow(`sim-${index + 1}`, cpuCache);
    this.#server = createServer((request, response) => {
      void this.#serve(request, response);
    });
  }

  async listen(host: string, port: number): Promise<void> {
    const listening = once(this.#server, 'listening');
    this.#server.listen(port, host);
    await listening;
    // The cast is what Node documents for a server that listens on a port.
    const { port: bound } = this.#server.address() as AddressInfo;
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/' } = request;
    if (this.seen.length < MOST_SEEN) this.seen.push(`${method} ${path}`);
    const body = await readBody(request);
    const { apiKey } = this.#options;
    const { fault } = this;
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'slow')
      await new Promise<void>((resolve) => {
        this.#clock.after(fault.delayMs, resolve);
      });
    if (fault?.kind === 'garbage') reply(response, 200, '{"layout_info":');
    else if (fault?.kind === 'error') reply(response, 500, '{"detail":"made to fail"}');
    else if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`)
      reply(response, 401, '{"detail":"no key"}');
    else if (body === undefined) reply(response, 413, '{"detail":"too large"}');
    else {
      const question = { method, path, body: parse(body) };
      const { status, body: answer } =
        fault?.kind === 'lies' ? lie(question, this.#instances) : answerLmcache(this.#known(), question);
      reply(response, status, JSON.stringify(answer));
    }
  }

  #known(): Parameters<typeof answerLmcache>[0] {
    const { api = 'controller', adapters = [] } = this.#options;
    const startedAt = this.#startedAt;
    return {
      api,
      adapters,
      chunks: this.#chunks,
      blockSize: this.#blockSize,
      instances: this.#instances,
      startedAt,
    };
  }
}

/** Undefined where it is too long. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const body = new ByteCollector();
  // A request is a stream of buffers unless it is told otherwise.
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (body.size + chunk.length > MAX_BODY_BYTES) return undefined;
    body.push(chunk);
  }
  return body.take();
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
