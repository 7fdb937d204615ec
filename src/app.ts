/** Composition root: the one place that makes the parts and joins them. */
import { systemClock, type Clock, type Timer } from './base/clock.ts';
import { systemRandom, type Random } from './base/random.ts';
import { PredictedIndex } from './cache-knowledge/predicted-index.ts';
import type { Settings } from './config/settings.ts';
import { VERSION } from './config/version.ts';
import type { WorkerClient } from './engines/client.ts';
import { HttpWorkerClient } from './engines/http/http-client.ts';
import { probeWorker } from './engines/http/probe.ts';
import { LoadPoller } from './engines/load-poller.ts';
import { BodyBytes } from './http/body.ts';
import { EdgeServer } from './http/server.ts';
import { Admission } from './limits/admission.ts';
import type { Log } from './observe/log.ts';
import { MetricsServer } from './observe/metrics-server.ts';
import { createMetrics } from './observe/metrics.ts';
import { DecisionRing } from './request/decision-ring.ts';
import type { Decision } from './request/decision.ts';
import { ResourceOwners } from './request/resource-owners.ts';
import { routeRequest } from './request/route-request.ts';
import type { Runtime } from './request/runtime.ts';
import { observeRuntime } from './request/runtime-metrics.ts';
import { FreshIdWatch, parseHashKeySource } from './routing/hash-key.ts';
import { createPolicy } from './routing/policies/index.ts';
import { UNITS_PER_BLOCK } from './routing/prompt-hash.ts';
import { TokenRatio } from './routing/token-ratio.ts';
import { HealthChecker, type ProbeResult } from './workers/health.ts';
import { LoadLedger } from './workers/ledger.ts';
import { WorkerRegistry } from './workers/registry.ts';
import { RetryBudget } from './workers/retry-budget.ts';
import type { Worker } from './workers/worker.ts';

export interface AppDeps {
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Log lines lost so far, for the metric. */
  readonly droppedLogLines?: () => number;
}

/** Ports that were asked for as 0 are the real ones here. */
export interface Address {
  readonly port: number;
  /** Undefined when metrics are off. */
  readonly metricsPort: number | undefined;
}

/** One running router. */
export class App {
  readonly runtime: Runtime;
  readonly #settings: Settings;
  readonly #clients = new Map<string, WorkerClient>();
  readonly #versions = new Map<string, string>();
  readonly #edge: EdgeServer;
  readonly #metricsServer: MetricsServer | undefined;
  readonly #health: HealthChecker;
  readonly #poller: LoadPoller;
  readonly #clock: Clock;
  #sweepTimer: Timer | undefined;
  #stopping = false;
  #cutting = false;
  #endDelay: (() => void) | undefined;

  constructor(settings: Settings, deps: AppDeps) {
    this.#settings = settings;
    this.#clock = deps.clock ?? systemClock;
    this.runtime = this.#assemble(deps);
    const { registry, ledger, metrics } = this.runtime;
    const clientOf = (worker: Worker): WorkerClient => this.#clientOf(worker);
    this.#health = new HealthChecker({
      registry,
      clock: this.#clock,
      random: this.runtime.random,
      probe: (worker) => this.#probe(worker),
      settings: settings.health,
      startupTimeoutMs: settings.workerStartupTimeoutMs,
      startupCheckIntervalMs: settings.workerStartupCheckIntervalMs,
    });
    this.#poller = new LoadPoller({
      registry,
      ledger,
      clientOf,
      clock: this.#clock,
      intervalMs: settings.loadCheckIntervalMs,
      timeoutMs: settings.health.timeoutMs,
    });
    this.#edge = new EdgeServer(
      settings.listen,
      (req, res, tunnel) => routeRequest(this.runtime, req, res, tunnel),
      (code) => {
        metrics.requestErrorsTotal.with('unmatched', code).inc();
        deps.log.debug({ error: code }, 'refused a connection');
      },
    );
    this.#metricsServer = settings.metrics.enabled
      ? new MetricsServer({
          metrics,
          log: deps.log,
          host: settings.metrics.host,
          port: settings.metrics.port,
          clock: this.#clock,
        })
      : undefined;
    observeRuntime(this.runtime, deps.droppedLogLines ?? (() => 0));
    registry.on((event) => {
      if (event.type === 'left') this.#dropClient(event.worker);
    });
  }

  /** Listens at once; workers are probed meanwhile. Rejects when an address cannot be listened on. */
  async start(): Promise<Address> {
    const metricsPort = await this.#metricsServer?.start();
    const port = await this.#edge.listen().catch(async (error: unknown) => {
      await this.#metricsServer?.stop();
      throw error;
    });
    for (const spec of this.#settings.workers) this.runtime.registry.add(spec);
    this.#health.start();
    this.#poller.start();
    this.#sweep();
    return { port, metricsPort };
  }

  /** Resolves to whether a worker became healthy within the start-up timeout. */
  firstWorker(): Promise<boolean> {
    return this.#health.waitForFirst();
  }

  /** The latest decision records, oldest first. */
  decisions(limit: number): readonly Decision[] {
    return this.runtime.decisions.latest(limit);
  }

  /**
   * Readiness turns 503 at once; after the shutdown delay the listener closes, and every connection after its response.
   * What is still open at the shutdown timeout is cut.
   */
  async stop(options: { immediately?: boolean } = {}): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const { shutdownDelayMs, shutdownTimeoutMs } = this.#settings;
    if (shutdownDelayMs > 0 && options.immediately !== true) await this.#pause(shutdownDelayMs);
    this.#health.stop();
    this.#poller.stop();
    this.#sweepTimer?.cancel();
    const stopped = this.#edge.stop();
    this.runtime.admission.close();
    const atOnce = options.immediately === true || this.#cutting;
    const cut = this.#clock.after(atOnce ? 0 : shutdownTimeoutMs, () => {
      this.#edge.cut();
    });
    await stopped;
    cut.cancel();
    for (const client of this.#clients.values()) client.close();
    await this.#metricsServer?.stop();
  }

  /** Cuts what is still open, and ends the shutdown delay: the second signal. */
  cut(): void {
    this.#cutting = true;
    this.#endDelay?.();
    this.#edge.cut();
  }

  #assemble(deps: AppDeps): Runtime {
    const settings = this.#settings;
    const clock = this.#clock;
    const random = deps.random ?? systemRandom;
    const ledger = new LoadLedger(clock);
    const registry = new WorkerRegistry({
      clock,
      ledger,
      breaker: settings.breaker,
      health: settings.health,
      slowStartMs: settings.slowStartMs,
    });
    let index: PredictedIndex | undefined;
    const policy = createPolicy(settings.policy, {
      loads: ledger,
      // Made for the policy that takes it; the others do without its memory.
      get cache() {
        index ??= openIndex(settings, clock);
        return index;
      },
      clock,
      random,
    });
    return {
      settings,
      clock,
      random,
      registry,
      ledger,
      policy,
      log: deps.log,
      metrics: createMetrics({ version: VERSION }),
      cacheIndex: index,
      hashKeySources: settings.hashKey
        .map((text) => parseHashKeySource(text))
        .filter((source) => source !== undefined),
      freshIds: new FreshIdWatch(),
      tokenRatio: new TokenRatio(),
      admission: new Admission(settings.admission, clock),
      retryBudget: new RetryBudget(clock, {
        ratio: settings.retry.budgetRatio,
        floor: settings.retry.budgetFloor,
      }),
      bodyBytes: new BodyBytes(settings.listen.maxInflightBodyBytes),
      owners: new ResourceOwners(),
      decisions: new DecisionRing(settings.decisionRing),
      clientOf: (worker) => this.#clientOf(worker),
      versionOf: (worker) => this.#versions.get(worker.spec.baseUrl),
      stopping: () => this.#stopping,
    };
  }

  /** Ranks of one server share its connections. */
  #clientOf(worker: Worker): WorkerClient {
    const { baseUrl } = worker.spec;
    let client = this.#clients.get(baseUrl);
    if (!client) {
      client = new HttpWorkerClient(worker.spec, {
        connectMs: this.#settings.timeouts.connectMs,
        maxHeaderSize: this.#settings.listen.maxHeaderSize,
      });
      this.#clients.set(baseUrl, client);
    }
    return client;
  }

  #dropClient(left: Worker): void {
    const { baseUrl } = left.spec;
    if (this.runtime.registry.workers.some((worker) => worker.spec.baseUrl === baseUrl)) return;
    this.#clients.get(baseUrl)?.close();
    this.#clients.delete(baseUrl);
    this.#versions.delete(baseUrl);
  }

  async #probe(worker: Worker): Promise<ProbeResult> {
    const { path, timeoutMs } = this.#settings.health;
    const result = await probeWorker(this.#clientOf(worker), worker.spec, this.#clock, {
      healthPath: path,
      timeoutMs,
    });
    if (result.ok && result.version !== undefined) this.#versions.set(worker.spec.baseUrl, result.version);
    return result;
  }

  /** Drops what the predicted index has not used for long; the byte budget holds without it. */
  #sweep(): void {
    const { cacheIndex } = this.runtime;
    if (!cacheIndex) return;
    const step = (): void => {
      if (this.#stopping) return;
      // A sweep works in pieces, so that no stream waits for it.
      if (cacheIndex.sweep()) setImmediate(step);
      else this.#sweep();
    };
    this.#sweepTimer = this.#clock.after(this.#settings.cacheIndex.evictionIntervalMs, step);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(ms, resolve);
      this.#endDelay = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

function openIndex({ cacheIndex }: Settings, clock: Clock): PredictedIndex {
  return new PredictedIndex({
    maxBytes: cacheIndex.maxBytes,
    maxBlocksPerWorker: Math.max(1, Math.floor(cacheIndex.maxCharsPerWorker / UNITS_PER_BLOCK)),
    clock,
    idleMs: cacheIndex.idleTtlMs,
  });
}
