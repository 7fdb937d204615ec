import { MetricsServer } from '../observe/metrics-server.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Front } from './front.ts';
import type { OpenDiscovery } from './open-discovery.ts';
import type { SharedState } from './shared-state.ts';
import { cannotListen, StartError } from './start-error.ts';

/** Ports that were asked for as 0 are the real ones here. */
export interface Address {
  readonly port: number;
  /** Undefined when metrics are off. */
  readonly metricsPort: number | undefined;
}

/** Wherever a router listens: for its clients, for who reads its metrics, for workers that register themselves, for notices. */
export class Listeners {
  readonly #state: SharedState<WorkerRegistry>;
  readonly #front: Front;
  readonly #discovery: OpenDiscovery;
  readonly #metrics: MetricsServer | undefined;

  constructor(state: SharedState<WorkerRegistry>, front: Front, discovery: OpenDiscovery) {
    const { settings, metrics, log, clock, descriptors, view } = state;
    this.#state = state;
    this.#front = front;
    this.#discovery = discovery;
    this.#metrics = settings.metrics.enabled
      ? new MetricsServer({
          ...{ metrics, log, clock },
          ...{ host: settings.metrics.host, port: settings.metrics.port },
          maxConnections: descriptors.scrapes,
          ...view.scrape,
        })
      : undefined;
  }

  /** All of them, or none: rejects with a `StartError` where one of the addresses cannot be listened on. */
  async open(): Promise<Address> {
    try {
      await this.#discovery.listen();
      await this.#state.arrivals.listen();
      const metricsPort = await this.#openMetrics();
      const port = await this.#openFront();
      this.#discovery.begin(metricsPort === undefined ? [port] : [port, metricsPort]);
      return { port, metricsPort };
    } catch (error) {
      await Promise.all([this.#discovery.close(), this.#state.arrivals.close(), this.#metrics?.stop()]);
      throw error;
    }
  }

  /** The metrics, which are shown to the end. */
  async close(): Promise<void> {
    await this.#metrics?.stop();
  }

  async #openMetrics(): Promise<number | undefined> {
    const { metrics } = this.#state.settings;
    return this.#metrics?.start().catch((error: unknown) => {
      throw cannotListen(metrics, { host: '--prometheus-host', port: '--prometheus-port' }, error);
    });
  }

  async #openFront(): Promise<number> {
    const { listen } = this.#state.settings;
    return this.#front.listen().catch((error: unknown) => {
      if (error instanceof StartError) throw error;
      throw cannotListen(listen, { host: '--host', port: '--port' }, error);
    });
  }
}
