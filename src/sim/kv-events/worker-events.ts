import type { Clock } from '../../base/clock.ts';
import type { WorkerModel } from '../engine/worker-model.ts';
import type { FaultSet } from '../server/fault-set.ts';
import type { Fault } from '../server/faults.ts';
import { EventPublisher, type KvEventPorts } from './event-publisher.ts';
import { EventRecorder } from './event-recorder.ts';
import type { KvEventSettings } from './settings.ts';

/** What a simulated worker publishes of its caches: a recorder and a publisher for each of its ranks. */
export class WorkerEvents {
  readonly settings: KvEventSettings;
  readonly #faults: FaultSet;
  readonly #ranks: readonly {
    readonly engine: WorkerModel;
    readonly recorder: EventRecorder;
    readonly publisher: EventPublisher;
  }[];

  constructor(
    engines: readonly WorkerModel[],
    options: {
      readonly settings: KvEventSettings;
      readonly host: string;
      readonly clock: Clock;
      readonly faults: FaultSet;
    },
  ) {
    const { settings, faults } = options;
    this.settings = settings;
    this.#faults = faults;
    this.#ranks = engines.map((engine, rank) => {
      const publisher = new EventPublisher({
        ...options,
        ...{ rank, faults: () => faults.ofMessage(), replayFaults: () => faults.ofReplay() },
      });
      const recorder = new EventRecorder(engine, settings.hashSeed, (events) => publisher.publish(events));
      engine.observer = recorder;
      return { engine, recorder, publisher };
    });
  }

  /** By rank. */
  get ports(): readonly KvEventPorts[] {
    return this.#ranks.flatMap(({ publisher: { ports } }) => (ports ? [ports] : []));
  }

  /** Connections that subscribe, over all ranks. */
  get subscribers(): number {
    return this.#ranks.reduce((sum, { publisher }) => sum + publisher.subscribers, 0);
  }

  get #isOpen(): boolean {
    return this.#ranks.some(({ publisher }) => publisher.isOpen);
  }

  /** Rejects with the system's error, and listens nowhere, where one of them cannot listen. */
  async open(): Promise<void> {
    for (const { publisher } of this.#ranks)
      await publisher.open().catch(async (error: unknown) => {
        await this.close();
        throw error;
      });
  }

  async close(): Promise<void> {
    await Promise.all(this.#ranks.map(({ publisher }) => publisher.close()));
  }

  /** Is as the faults say; returns the one that keeps it closed. */
  async followFaults(): Promise<Fault | undefined> {
    const restart = this.#faults.whole('kv_restart');
    if (restart) {
      await this.#restart();
      this.#faults.remove(restart);
    }
    const stop = this.#faults.whole('kv_stop');
    if (stop) await this.close();
    else if (!this.#isOpen) await this.open();
    return stop;
  }

  /** As when the engines' process dies and comes back: nothing cached, numbers from 0, connections cut. */
  async #restart(): Promise<void> {
    await this.close();
    for (const { engine, recorder, publisher } of this.#ranks) {
      engine.clear();
      engine.cache.reset();
      engine.cpuCache?.reset();
      recorder.restart();
      publisher.restart();
    }
    await this.open();
  }
}
