import type { VirtualClock } from '../../base/virtual-clock.ts';
import type { ReplicaWay } from '../../shared-state/replica-exchange.ts';

/** What lies between the routers of a simulated fleet that share what they know: every message comes to all of them, a little later. */
export class SimBus implements ReplicaWay {
  readonly #clock: VirtualClock;
  readonly #delayMs: number;
  readonly #listeners = new Set<(message: Buffer) => void>();

  constructor(clock: VirtualClock, delayMs: number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  publish(message: Buffer, onEnd: (sent: boolean) => void): void {
    this.#clock.after(this.#delayMs, () => {
      for (const listener of this.#listeners) listener(message);
    });
    onEnd(true);
  }

  subscribe(onMessage: (message: Buffer) => void, onReady: () => void): () => void {
    this.#listeners.add(onMessage);
    onReady();
    return () => this.#listeners.delete(onMessage);
  }
}
