import { randomHex } from '../base/ids.ts';
import type { Timer } from '../base/clock.ts';
import { fetchModels } from '../engines/external/fetch-models.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { SharedState } from './shared-state.ts';

const AGAIN_MS = 60_000;

/** Reads the lists of providers of which the configuration says so: once, and again after a minute where that failed. */
export class ProviderModels {
  readonly #state: Pick<SharedState<WorkerRegistry>, 'registry' | 'connections' | 'clock' | 'log'>;
  readonly #timers = new Map<Worker, Timer>();
  #unsubscribe: () => void = () => undefined;

  constructor(state: Pick<SharedState<WorkerRegistry>, 'registry' | 'connections' | 'clock' | 'log'>) {
    this.#state = state;
  }

  start(): void {
    const { registry } = this.#state;
    this.#unsubscribe = registry.on(({ type, worker }) => {
      if (type === 'left') this.#cancel(worker);
      else if (type === 'joined' || type === 'traits') this.#want(worker);
    });
    for (const worker of registry.externals) this.#want(worker);
  }

  stop(): void {
    this.#unsubscribe();
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #want(worker: Worker): void {
    this.#cancel(worker);
    if (worker.traits.external?.fetchesModels !== true) return;
    // A moment later: whoever has just registered it may have more to say.
    this.#askIn(worker, 0);
  }

  #askIn(worker: Worker, delayMs: number): void {
    const timer = this.#state.clock.after(delayMs, () => void this.#ask(worker, timer));
    this.#timers.set(worker, timer);
  }

  async #ask(worker: Worker, timer: Timer): Promise<void> {
    const { registry, connections, clock, log } = this.#state;
    const { spec } = worker;
    const found = await fetchModels(connections.clientOf(spec), spec, randomHex(16), clock);
    if (this.#timers.get(worker) !== timer) return;
    this.#timers.delete(worker);
    const backend = worker.traits.external?.name;
    if (found.kind === 'models') {
      registry.setModels(worker, found.names, []);
      log.info({ backend, models: found.names.size }, 'the external backend has told its models');
    } else {
      log.warn({ backend, reason: found.reason }, 'the models of an external backend cannot be read');
      this.#askIn(worker, AGAIN_MS);
    }
  }

  #cancel(worker: Worker): void {
    this.#timers.get(worker)?.cancel();
    this.#timers.delete(worker);
  }
}
