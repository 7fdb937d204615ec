import type { Clock, Timer } from '../base/clock.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { WorkerClient } from './client.ts';
import { collect } from './collect.ts';

const MAX_METRICS_BYTES = 4 * 1024 * 1024;

/** Servers that are asked in one go; what there are more is spread, so that no stream waits for hundreds of connections. */
const AT_ONCE = 16;
/** The largest part of a period that they are spread over. */
const SPREAD = 0.5;
/** While nothing is sent to anybody, a server is asked only once in this time for each server that there is. */
const REST_MS_PER_SERVER = 80;

export interface PollTimes {
  /** 0 = never. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface LoadPollerDeps extends PollTimes {
  readonly registry: WorkerRegistry;
  readonly ledger: LoadLedger;
  readonly clock: Clock;
  readonly clientOf: (worker: Worker) => WorkerClient;
}

/**
 * Reads vLLM's `/metrics` now and then, to see the requests that others send to the same workers. The ledger keeps its
 * own exact counts and adds only what goes beyond them.
 */
export class LoadPoller {
  readonly #deps: LoadPollerDeps;
  #times: PollTimes;
  #timer: Timer | undefined;
  #running = false;
  /** When the last round began, and what had been sent to workers by the one before it. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #sent = 0;
  /** How many there were in that round. */
  #servers = 0;

  constructor(deps: LoadPollerDeps) {
    this.#deps = deps;
    this.#times = deps;
    deps.ledger.setExternalTtl(3 * deps.intervalMs);
  }

  start(): void {
    this.#running = true;
    this.#schedule();
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
  }

  /** Another period, which begins now. A poll under way goes on. */
  reconfigure(times: PollTimes): void {
    const same = times.intervalMs === this.#times.intervalMs;
    this.#times = times;
    if (same) return;
    this.#deps.ledger.setExternalTtl(3 * times.intervalMs);
    this.#schedule();
  }

  #schedule(spreadMs = 0): void {
    this.#timer?.cancel();
    const { intervalMs } = this.#times;
    if (!this.#running || intervalMs === 0) return;
    this.#timer = this.#deps.clock.after(Math.max(0, intervalMs - spreadMs), () => {
      void this.#poll().then((spread) => {
        this.#schedule(spread);
      });
    });
  }

  /** Returns over how many ms it was spread. */
  async #poll(): Promise<number> {
    const { registry, ledger, clock } = this.#deps;
    const { intervalMs } = this.#times;
    const now = clock.now();
    if (this.#isIdle() && now - this.#askedAt < REST_MS_PER_SERVER * this.#servers) return 0;
    const healthy = registry.workers.filter((worker) => worker.health.healthy);
    const servers = [...Map.groupBy(healthy, (worker) => worker.spec.baseUrl).values()];
    this.#askedAt = now;
    this.#servers = servers.length;
    ledger.setExternalTtl(3 * Math.max(intervalMs, REST_MS_PER_SERVER * servers.length));
    const spreadMs = servers.length > AT_ONCE ? SPREAD * intervalMs : 0;
    const goes: Promise<void>[] = [];
    for (let first = 0; first < servers.length; first += AT_ONCE) {
      const together = servers.slice(first, first + AT_ONCE);
      goes.push(this.#askLater((spreadMs * first) / servers.length, together));
    }
    await Promise.all(goes);
    return spreadMs;
  }

  /** Whether nothing is under way, and nothing was sent to any worker since the last time. */
  #isIdle(): boolean {
    const { registry, ledger } = this.#deps;
    const before = this.#sent;
    this.#sent = registry.workers.reduce((sum, { processed }) => sum + processed, 0);
    return ledger.openLeases === 0 && this.#sent === before;
  }

  async #askLater(delayMs: number, servers: readonly (readonly Worker[])[]): Promise<void> {
    if (delayMs > 0)
      await new Promise<void>((resolve) => {
        this.#deps.clock.after(delayMs, resolve);
      });
    if (this.#running) await Promise.all(servers.map((ranks) => this.#ask(ranks)));
  }

  /** The ranks of one server share one answer. */
  async #ask(ranks: readonly Worker[]): Promise<void> {
    const [first] = ranks;
    if (!first) return;
    const { clientOf, clock, ledger } = this.#deps;
    const { timeoutMs } = this.#times;
    const headers = first.spec.apiKey === undefined ? [] : ['authorization', `Bearer ${first.spec.apiKey}`];
    for (const { slot } of ranks) ledger.watchOwn(slot);
    const request = {
      method: 'GET',
      path: '/metrics',
      headers,
      body: undefined,
      upgrade: undefined,
      reserved: true,
    };
    const answer = await collect(clientOf(first), request, clock, { timeoutMs, maxBytes: MAX_METRICS_BYTES });
    if (answer.kind !== 'response' || answer.status !== 200) return;
    const engines = readEngines(answer.body.toString('latin1'));
    for (const worker of ranks) {
      const { requests, work } = engineOf(engines, worker.spec.rank);
      if (this.#deps.registry.get(worker.id) !== worker) continue;
      if (requests !== undefined)
        ledger.setExternal(worker.slot, requests, ledger.mostOwn(worker.slot), clock.now());
      if (work !== undefined) worker.progress.report(work, clock.now());
    }
  }
}

/** What the metrics say of one engine (data-parallel rank); absent where the series are missing. */
export interface EngineReport {
  /** Running and waiting. */
  requests?: number;
  /** Grows with whatever the engine does: tokens, steps, requests that ended by themselves. */
  work?: number;
}

const REQUESTS = /^vllm:num_requests_(?:running|waiting)(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
// Requests that were aborted are counted by the server, which goes on when its engine hangs.
const WORK =
  /^vllm:(?:prompt_tokens_total|generation_tokens_total|iteration_tokens_total_count|request_success_total)(?:\{((?![^}]*finished_reason="abort")[^}]*)\})?\s+([0-9.eE+-]+)/;
const ENGINE_LABEL = /(?:^|,)\s*engine="(\d+)"/;

const PREFIX = 'vllm:';
/** How the lines begin that one of these may fit, a handful of the thousand that a server has, by the letter behind the prefix. */
const BEGINNINGS: ReadonlyMap<number, string> = new Map(
  [
    'num_requests_',
    'prompt_tokens_total',
    'generation_tokens_total',
    'iteration_tokens_total_count',
    'request_success_total',
  ].map((name) => [name.charCodeAt(0), PREFIX + name]),
);
const FIRST_LETTER = PREFIX.charCodeAt(0);

/** The lines that are worth a closer look. */
function linesOf(exposition: string): string[] {
  const lines: string[] = [];
  let end = -1;
  while (end < exposition.length) {
    const at = end + 1;
    const next = exposition.indexOf('\n', at);
    end = next < 0 ? exposition.length : next;
    if (exposition.charCodeAt(at) !== FIRST_LETTER) continue;
    const beginning = BEGINNINGS.get(exposition.charCodeAt(at + PREFIX.length));
    if (beginning !== undefined && exposition.startsWith(beginning, at))
      lines.push(exposition.slice(at, end));
  }
  return lines;
}

/** By vLLM's `engine` label; a server without the label has the one engine 0. */
export function readEngines(exposition: string): Map<number, EngineReport> {
  const engines = new Map<number, EngineReport>();
  for (const line of linesOf(exposition)) {
    const requests = REQUESTS.exec(line);
    const match = requests ?? WORK.exec(line);
    const value = Number(match?.[2]);
    if (!match || !Number.isFinite(value)) continue;
    const engine = Number(ENGINE_LABEL.exec(match[1] ?? '')?.[1] ?? 0);
    const report = engines.get(engine) ?? {};
    engines.set(engine, report);
    const field = requests ? 'requests' : 'work';
    report[field] = (report[field] ?? 0) + value;
  }
  return engines;
}

/** A worker without a rank is the whole server, whose engines add up. */
function engineOf(engines: ReadonlyMap<number, EngineReport>, rank: number | undefined): EngineReport {
  if (rank !== undefined) return engines.get(rank) ?? {};
  const whole: EngineReport = {};
  for (const { requests, work } of engines.values()) {
    if (requests !== undefined) whole.requests = (whole.requests ?? 0) + requests;
    if (work !== undefined) whole.work = (whole.work ?? 0) + work;
  }
  return whole;
}
