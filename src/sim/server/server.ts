import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { EventEmitter, once } from 'node:events';
import type { Duplex } from 'node:stream';
import { ByteCollector } from '../../base/byte-collector.ts';
import { seededRandom } from '../../base/random.ts';
import { isAuthorized } from './api-key.ts';
import { ApiError, notFound } from './api-error.ts';
import { Exchange, type SeenRequest } from './exchange.ts';
import { NO_FAULTS, parseFaultHeader, planOf, type Fault, type FaultPlan } from './faults.ts';
import { FaultSet } from './fault-set.ts';
import { errorJsonFor } from './messages.ts';
import { simSettings, type SimOptions } from './options.ts';
import type { SimEvent, SimWorker } from './sim-worker.ts';
import { Reply } from './reply.ts';
import { findRoute, type Route } from './routes.ts';
import { simClock } from '../engine/sim-clock.ts';
import { SimState } from './sim-state.ts';
import type { KvEventPorts } from '../kv-events/event-publisher.ts';
import { beginTransfer } from '../kv-transfer/begin-transfer.ts';
import { WorkerTransfer } from '../kv-transfer/worker-transfer.ts';
import { WorkerEvents } from '../kv-events/worker-events.ts';
import { openTunnel } from './tunnel.ts';
import { WorkerFaults } from './worker-faults.ts';
import type { WorkerModel } from '../engine/worker-model.ts';

export type { SimEvent, SimWorker };

/** Starts a simulated vLLM server; rejects when it cannot listen. */
export async function startSimWorker(options: SimOptions = {}): Promise<SimWorker> {
  const worker = new SimServer(options);
  await worker.start();
  return worker;
}

const PROBLEM_TYPE = 'text/plain; charset=utf-8';

class SimServer implements SimWorker {
  readonly host: string;
  readonly counts = { request: 0, finished: 0, aborted: 0, cut: 0 };
  url = '';
  port: number;
  readonly #state: SimState;
  readonly #faults: FaultSet;
  readonly #workerFaults: WorkerFaults;
  readonly #server: Server;
  readonly #socketPath: string | undefined;
  readonly #scheme: string;
  readonly #events = new EventEmitter<{ event: [SimEvent] }>();
  readonly #tunnels = new Set<Duplex>();
  #seen: SeenRequest[] = [];
  #listening: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SimOptions) {
    const settings = simSettings(options);
    this.host = options.host ?? '127.0.0.1';
    this.port = options.port ?? 0;
    this.#socketPath = options.socketPath;
    this.#scheme = options.tls ? 'https' : 'http';
    this.#state = new SimState(settings, simClock);
    const followFaults = (): void => {
      this.#listening = this.#listening.then(() => this.#followFaults());
    };
    this.#faults = new FaultSet(seededRandom(settings.seed), followFaults, {
      publishesEvents: settings.kvEvents !== undefined,
      handsKvOver: settings.kvTransfer !== undefined,
    });
    if (settings.kvEvents)
      this.#state.kvEvents = new WorkerEvents(this.#state.engines, {
        ...{ settings: settings.kvEvents, host: this.host, clock: simClock, faults: this.#faults },
      });
    if (settings.kvTransfer)
      this.#state.kvTransfer = new WorkerTransfer(this.#state.engines, {
        ...{ settings: settings.kvTransfer, model: settings.model, host: this.host, clock: simClock },
      });
    this.#events.setMaxListeners(0);
    const serverOptions = {
      keepAliveTimeout: options.keepAliveMs ?? 5000,
      requestTimeout: 0,
      maxHeaderSize: 64 * 1024,
      noDelay: true,
      shouldUpgradeCallback: (request: IncomingMessage) =>
        request.headers.upgrade?.toLowerCase() === 'websocket',
    };
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      this.#accept(request, response);
    };
    this.#server = options.tls
      ? createTlsServer({ ...serverOptions, ...options.tls }, listener)
      : createServer(serverOptions, listener);
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#tunnels.add(socket);
      socket.on('close', () => this.#tunnels.delete(socket));
      openTunnel(this.#state, request, socket, head);
    });
    this.#workerFaults = new WorkerFaults(this.#state, this.#faults, {
      server: this.#server,
      listen: () => this.#listen(),
      close: () => this.#close(),
    });
    if (options.faults && options.faults.length > 0) this.#faults.set(options.faults);
  }

  get engines(): readonly WorkerModel[] {
    return this.#state.engines;
  }

  get model(): WorkerModel {
    const [first] = this.#state.engines;
    if (!first) throw new RangeError('a simulated worker has at least one engine');
    return first;
  }

  get kvEvents(): readonly KvEventPorts[] {
    return this.#state.kvEvents?.ports ?? [];
  }

  get kvSubscribers(): number {
    return this.#state.kvEvents?.subscribers ?? 0;
  }

  get kvTransfer(): SimWorker['kvTransfer'] {
    return this.#state.kvTransfer?.state;
  }

  get seen(): readonly SeenRequest[] {
    return this.#seen;
  }

  get faults(): readonly Fault[] {
    return this.#faults.list;
  }

  async start(): Promise<void> {
    await this.#listening;
    // A worker that refuses from the start still needs its port: it takes it once and gives it back.
    await this.#listen();
    try {
      await this.#state.kvEvents?.open();
      await this.#state.kvTransfer?.open(this.port);
    } catch (error) {
      await Promise.all([this.#close(), this.#state.kvEvents?.close()]);
      throw error;
    }
    await this.#followFaults();
  }

  missing(fault: Fault): string | undefined {
    return this.#faults.missing(fault);
  }

  async setFaults(faults: readonly unknown[]): Promise<void> {
    this.#faults.set(faults);
    await this.#listening;
  }

  on(listener: (event: SimEvent) => void): () => void {
    this.#events.on('event', listener);
    return () => this.#events.off('event', listener);
  }

  next(type: SimEvent['type'], match: (request: SeenRequest) => boolean = isNoProbe): Promise<SimEvent> {
    return new Promise((resolve) => {
      const stop = this.on((event) => {
        if (event.type !== type || !match(event.request)) return;
        stop();
        resolve(event);
      });
    });
  }

  clearSeen(): void {
    this.#seen = [];
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#listening;
    for (const engine of this.engines) engine.stop();
    await Promise.all([this.#close(), this.#state.kvEvents?.close(), this.#state.kvTransfer?.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #listen(): Promise<void> {
    const listening = once(this.#server, 'listening');
    if (this.#socketPath === undefined) this.#server.listen(this.port, this.host);
    else this.#server.listen(this.#socketPath);
    await listening;
    if (this.#socketPath !== undefined) {
      this.url = `unix://${this.#socketPath}`;
      return;
    }
    // The cast is what Node documents for a server that listens on a port.
    this.port = (this.#server.address() as AddressInfo).port;
    const host = this.host.includes(':') ? `[${this.host}]` : this.host;
    this.url = `${this.#scheme}://${host}:${this.port}`;
  }

  async #close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    for (const tunnel of this.#tunnels) tunnel.destroy();
    await closed;
  }

  async #followFaults(): Promise<void> {
    if (this.url !== '' && !this.#stopped) await this.#workerFaults.follow();
  }

  #accept(request: IncomingMessage, response: ServerResponse): void {
    const received = new ByteCollector();
    let size = 0;
    request.on('data', (part: Buffer) => {
      size += part.length;
      if (size <= this.#state.settings.maxBodyBytes) received.push(part);
    });
    request.on('end', () => {
      this.#serve(request, response, received.take(), size > this.#state.settings.maxBodyBytes);
    });
    // A client that leaves is noticed through the response; without a listener the error would end the process.
    request.on('error', () => undefined);
  }

  #serve(request: IncomingMessage, response: ServerResponse, body: Buffer, tooLarge: boolean): void {
    const url = request.url ?? '/';
    const question = url.indexOf('?');
    const path = question < 0 ? url : url.slice(0, question);
    const found = findRoute(request.method ?? 'GET', path, this.#state.settings);
    const route = found.kind === 'route' ? found.route : undefined;
    const seen = this.#remember(request, url, body);
    let plan: FaultPlan;
    try {
      plan = this.#planFaults(request, path, route?.inference ?? false);
    } catch (error) {
      response.writeHead(400, { 'content-type': PROBLEM_TYPE }).end(String(error));
      return;
    }
    const reply = new Reply(response, plan, simClock, this.#extraHeaders(request));
    const exchange = new Exchange(request, response, reply, path, body);
    if (route?.inference) this.#state.inFlight++;
    if (plan.die) response.once('finish', () => this.#workerFaults.die(plan.die?.forMs));
    response.on('close', () => {
      if (route?.inference) this.#state.inFlight--;
      this.#ended(exchange, seen);
    });
    const answer = (): void => {
      if (response.destroyed || reply.beforeHead()) return;
      this.#guarded(exchange, () => {
        if (tooLarge) throw new ApiError(413, 'BadRequestError', 'The request body is too large.');
        if (found.kind === 'route') exchange.pathId = found.pathId;
        this.#answer(exchange, found.kind === 'method' ? 'method' : route, plan);
      });
    };
    if (plan.delay) simClock.after(plan.delay.ms, answer);
    else answer();
  }

  #answer(exchange: Exchange, route: Route | 'method' | undefined, plan: FaultPlan): void {
    const { settings } = this.#state;
    if (!isAuthorized(settings.apiKeys, exchange.request, exchange.path)) {
      exchange.reply.json('{"error":"Unauthorized"}', 401);
      return;
    }
    if (route === 'method') throw new ApiError(405, 'MethodNotAllowedError', 'Method Not Allowed');
    if (!route || (route.dev && !settings.devMode)) throw notFound('Not Found');
    if (route.inference) beginTransfer(this.#state, exchange, plan);
    route.handler(this.#state, exchange, this);
  }

  #guarded(exchange: Exchange, action: () => void): void {
    try {
      action();
    } catch (error) {
      const problem =
        error instanceof ApiError ? error : new ApiError(500, 'InternalServerError', String(error));
      exchange.transfer?.abandon();
      exchange.reply.json(errorJsonFor(this.#state, exchange.path, problem), problem.status);
    }
  }

  #planFaults(request: IncomingMessage, path: string, inference: boolean): FaultPlan {
    const asked = request.headers['x-sim-fault'];
    if (asked === undefined) return path.startsWith('/sim/') ? NO_FAULTS : this.#faults.plan(path, inference);
    return planOf(parseFaultHeader(String(asked)));
  }

  #extraHeaders(request: IncomingMessage): readonly string[] {
    if (!this.#state.settings.requestIdHeaders) return [];
    const id = request.headers['x-request-id'];
    return typeof id === 'string' ? ['x-request-id', id] : [];
  }

  #remember(request: IncomingMessage, url: string, body: Buffer): SeenRequest {
    const seen: SeenRequest = {
      method: request.method ?? '',
      url,
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      body,
      outcome: 'open',
    };
    const keep = this.#state.settings.keepRequests;
    if (keep > 0) {
      this.#seen.push(seen);
      if (this.#seen.length > keep) this.#seen.shift();
    }
    this.#emit('request', seen);
    return seen;
  }

  #ended(exchange: Exchange, seen: SeenRequest): void {
    const { reply, response } = exchange;
    if (response.writableFinished || (reply.bare && reply.state === 'ended')) seen.outcome = 'finished';
    else seen.outcome = reply.state === 'cut' ? 'cut' : 'aborted';
    if (seen.outcome !== 'finished') exchange.onAbort?.();
    this.#emit(seen.outcome, seen);
  }

  #emit(type: SimEvent['type'], request: SeenRequest): void {
    this.counts[type]++;
    if (this.#events.listenerCount('event') > 0) this.#events.emit('event', { type, request });
  }
}

function isNoProbe({ method }: SeenRequest): boolean {
  return method !== 'GET';
}
