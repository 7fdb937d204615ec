/** Composition root: the one place that makes the parts and joins them. */
import { systemClock, type Clock, type Timer } from './base/clock.ts';
import { systemRandom, type Random } from './base/random.ts';
import { PredictedIndex } from './cache-knowledge/predicted-index.ts';
import { Admin } from './admin/admin.ts';
import type { Config } from './config/schema.ts';
import type { Settings } from './config/settings.ts';
import { VERSION } from './config/version.ts';
import { WorkerConnections } from './engines/http/worker-connections.ts';
import { LoadPoller } from './engines/load-poller.ts';
import { BodyBytes } from './http/body.ts';
import { EdgeServer } from './http/server.ts';
import { Admission } from './limits/admission.ts';
import type { Log } from './observe/log.ts';
import { MetricsServer } from './observe/metrics-server.ts';
import { createMetrics } from './observe/metrics.ts';
import { ActivePolicy } from './request/active-policy.ts';
import { DecisionRing } from './request/decision-ring.ts';
import type { Decision } from './request/decision.ts';
import { dryRun } from './request/dry-run.ts';
import { LOCAL_PATHS } from './request/endpoints.ts';
import { ResourceOwners } from './request/resource-owners.ts';
import { serveRequest } from './request/route-request.ts';
import type { Runtime } from './request/runtime.ts';
import { observeRuntime } from './request/runtime-metrics.ts';
import { FreshIdWatch, parseHashKeySource } from './routing/hash-key.ts';
import { UNITS_PER_BLOCK } from './routing/prompt-hash.ts';
import { TokenRatio } from './routing/token-ratio.ts';
import { HealthChecker } from './workers/health.ts';
import { LoadLedger } from './workers/ledger.ts';
import { WorkerRegistry } from './workers/registry.ts';
import { RetryBudget } from './workers/retry-budget.ts';
import type { Worker } from './workers/worker.ts';

export interface AppDeps {
  readonly log: Log;
  /** What the settings were compiled from. */
  readonly config: Config;
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
  readonly #connections: WorkerConnections;
  readonly #policy: ActivePolicy;
  readonly #admin: Admin;
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
    const clock = this.#clock;
    const random = deps.random ?? systemRandom;
    const ledger = new LoadLedger(clock);
    this.#connections = new WorkerConnections({
      clock,
      pool: { connectMs: settings.timeouts.connectMs, maxHeaderSize: settings.listen.maxHeaderSize },
      health: settings.health,
    });
    this.#policy = new ActivePolicy(settings.policy, {
      ...{ loads: ledger, clock, random },
      openIndex: () => openIndex(settings, clock),
    });
    this.runtime = this.#assemble(deps.log, random, ledger);
    const { registry, metrics } = this.runtime;
    this.#admin = this.#openAdmin(deps.config);
    this.#health = new HealthChecker({
      registry,
      clock,
      random,
      probe: ({ spec }) => this.#connections.probe(spec),
      settings: settings.health,
      startupTimeoutMs: settings.workerStartupTimeoutMs,
      startupCheckIntervalMs: settings.workerStartupCheckIntervalMs,
    });
    this.#poller = new LoadPoller({
      registry,
      ledger,
      clientOf: (worker) => this.runtime.clientOf(worker),
      clock,
      intervalMs: settings.loadCheckIntervalMs,
      timeoutMs: settings.health.timeoutMs,
    });
    this.#edge = new EdgeServer(
      settings.listen,
      (req, res, tunnel) => {
        if (tunnel === undefined && this.#admin.handle(req, res)) return Promise.resolve();
        return serveRequest(this.runtime, req, res, tunnel);
      },
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
          clock,
        })
      : undefined;
    observeRuntime(this.runtime, deps.droppedLogLines ?? (() => 0));
    registry.on((event) => {
      if (event.type === 'left') this.#dropClient(event.worker);
    });
  }

  /**
   * Listens at once; workers are probed meanwhile. Rejects when an address cannot be listened on, and with a
   * `StateFileError` when the state file cannot be used.
   */
  async start(): Promise<Address> {
    for (const spec of this.#settings.workers) this.runtime.registry.add(spec);
    await this.#admin.restore();
    const metricsPort = await this.#metricsServer?.start();
    const port = await this.#edge.listen().catch(async (error: unknown) => {
      await this.#metricsServer?.stop();
      throw error;
    });
    this.#health.start();
    this.#poller.start();
    this.#sweep();
    return { port, metricsPort };
  }

  /** Resolves to whether a worker became healthy within the start-up timeout. */
  firstWorker(): Promise<boolean> {
    return this.#health.waitForFirst();
  }

  /** Loads the admin routes, which takes a moment, before somebody asks for them. */
  prepareAdmin(): Promise<void> {
    return this.#admin.prepare();
  }

  /** Registrations and removals of workers that have not ended. */
  get openJobs(): number {
    return this.#admin.registrar.jobs.open;
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
    const closed = this.#admin.close();
    const atOnce = options.immediately === true || this.#cutting;
    const cut = this.#clock.after(atOnce ? 0 : shutdownTimeoutMs, () => {
      this.#edge.cut();
    });
    await stopped;
    cut.cancel();
    await closed;
    this.#connections.close();
    await this.#metricsServer?.stop();
  }

  /** Cuts what is still open, and ends the shutdown delay: the second signal. */
  cut(): void {
    this.#cutting = true;
    this.#endDelay?.();
    this.#edge.cut();
  }

  #assemble(log: Log, random: Random, ledger: LoadLedger): Runtime {
    const settings = this.#settings;
    const clock = this.#clock;
    const policy = this.#policy;
    const connections = this.#connections;
    return {
      settings,
      clock,
      random,
      registry: new WorkerRegistry({
        clock,
        ledger,
        breaker: settings.breaker,
        health: settings.health,
        slowStartMs: settings.slowStartMs,
      }),
      ledger,
      get policy() {
        return policy.policy;
      },
      get cacheIndex() {
        return policy.index;
      },
      log,
      metrics: createMetrics({ version: VERSION }),
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
      clientOf: ({ spec }) => connections.clientOf(spec),
      versionOf: ({ spec }) => connections.versionOf(spec),
      stopping: () => this.#stopping,
    };
  }

  #openAdmin(config: Config): Admin {
    const { runtime } = this;
    const policy = this.#policy;
    return new Admin({
      ...runtime,
      config,
      policy,
      inspect: (spec) => this.#connections.inspect(spec),
      onInspected: (spec, inspection) => {
        this.#connections.noteVersion(spec, inspection);
      },
      explain: (request) => dryRun(runtime, request, (other) => policy.trial(other)),
      localRoutes: LOCAL_PATHS,
    });
  }

  #dropClient({ spec }: Worker): void {
    const { workers } = this.runtime.registry;
    if (!workers.some((worker) => worker.spec.baseUrl === spec.baseUrl)) this.#connections.drop(spec);
  }

  /** Drops what the predicted index has not used for long; the byte budget holds without it. */
  #sweep(): void {
    const step = (): void => {
      if (this.#stopping) return;
      // A sweep works in pieces, so that no stream waits for it. The policy may have been switched meanwhile.
      if (this.#policy.index?.sweep()) setImmediate(step);
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
