import { accuracyByModel, type BySource } from '../cache-knowledge/accuracy/by-model.ts';
import type { CacheProof, Proof } from '../cache-knowledge/accuracy/proof.ts';
import type { Settings } from '../config/settings/settings.ts';
import { EventSourceWatch } from '../engines/event-source-watch.ts';
import type { BootstrapWatch } from '../engines/prefill-decode/bootstrap-watch.ts';
import { servesAlone } from '../engines/prefill-decode/index.ts';
import { LoadPoller, type PollTimes } from '../engines/load-poller.ts';
import type { Metrics } from '../observe/metrics.ts';
import { HealthChecker, type HealthTimes } from '../workers/health.ts';
import { StallWatch } from '../workers/stall-watch.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import { openBootstrapWatch } from './open-bootstrap-watch.ts';
import { openProof } from './open-proof.ts';
import { ProviderModels } from './provider-models.ts';
import type { SharedState } from './shared-state.ts';

/** All that looks at workers while nobody asks: whether they are well, how busy they are, whether they move, what they tell of themselves. */
export class WorkerWatches {
  readonly #health: HealthChecker;
  readonly #poller: LoadPoller;
  readonly #stalls: StallWatch;
  readonly #eventSources: EventSourceWatch;
  readonly #bootstrap: BootstrapWatch;
  readonly #proof: CacheProof;
  readonly #providers: ProviderModels;
  readonly #metrics: Metrics;

  constructor(state: SharedState<WorkerRegistry>, settings: Settings) {
    const { registry, ledger, clock, random, connections, metrics } = state;
    this.#proof = openProof(state);
    this.#providers = new ProviderModels(state);
    this.#metrics = metrics;
    this.#health = new HealthChecker({
      ...{ registry, clock, random, probe: ({ spec }, _, anew) => connections.probe(spec, anew) },
      ...healthTimes(settings),
    });
    this.#poller = new LoadPoller({
      ...{ registry, ledger, clock },
      clientOf: ({ spec }) => connections.clientOf(spec),
      ...pollTimes(settings),
    });
    this.#eventSources = new EventSourceWatch({
      ...{ registry, clock, ask: ({ spec }) => connections.askEventSources(spec) },
    });
    this.#bootstrap = openBootstrapWatch(state);
    this.#stalls = new StallWatch({
      ...{ registry, clock, settings: settings.stall },
      probe: (worker, request, limits) => {
        const isAlone = servesAlone(state.settings.pd.connector, worker);
        return connections.probeOneToken(worker.spec, isAlone ? request : undefined, limits);
      },
      onProbed: ({ id }, end) => {
        metrics.stallProbesTotal.with(id, end).inc();
      },
    });
  }

  start(): void {
    this.#health.start();
    this.#poller.start();
    this.#eventSources.start();
    this.#bootstrap.start();
    this.#proof.start();
    this.#providers.start();
    this.#stalls.start();
  }

  stop(): void {
    this.#health.stop();
    this.#poller.stop();
    this.#eventSources.stop();
    this.#bootstrap.stop();
    this.#proof.stop();
    this.#providers.stop();
    this.#stalls.stop();
  }

  reconfigure(settings: Settings): void {
    this.#health.reconfigure(healthTimes(settings));
    this.#poller.reconfigure(pollTimes(settings));
    this.#stalls.reconfigure(settings.stall);
    this.#bootstrap.reconfigure();
  }

  /** Whether what is known of caches is true: of a worker, and by model as the metrics have it. */
  readonly proofs = {
    proofOf: (worker: Worker): Proof | undefined => this.#proof.of(worker),
    proofByModel: (): ReadonlyMap<string, BySource> =>
      accuracyByModel(this.#metrics.cacheAccuracyTokensTotal.series),
  };

  /** Resolves to whether a worker became healthy within the start-up timeout. */
  firstWorker(): Promise<boolean> {
    return this.#health.waitForFirst();
  }
}

function healthTimes(settings: Settings): HealthTimes {
  return {
    settings: settings.health,
    startupTimeoutMs: settings.workerStartupTimeoutMs,
    startupCheckIntervalMs: settings.workerStartupCheckIntervalMs,
  };
}

function pollTimes({ loadCheckIntervalMs, health }: Settings): PollTimes {
  return { intervalMs: loadCheckIntervalMs, timeoutMs: health.timeoutMs };
}
