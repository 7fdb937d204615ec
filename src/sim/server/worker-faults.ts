import type { Server } from 'node:http';
import { simClock } from '../engine/sim-clock.ts';
import type { Fault } from './faults.ts';
import type { FaultSet } from './fault-set.ts';
import { setHung } from './hung.ts';
import type { SimState } from './sim-state.ts';

/** The port that a worker serves on. */
export interface ServedPort {
  readonly server: Pick<Server, 'listening'>;
  listen(): Promise<void>;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/** Makes a worker as a whole behave as its faults say. */
export class WorkerFaults {
  readonly #state: SimState;
  readonly #faults: FaultSet;
  readonly #port: ServedPort;

  constructor(state: SimState, faults: FaultSet, port: ServedPort) {
    this.#state = state;
    this.#faults = faults;
    this.#port = port;
  }

  async follow(): Promise<void> {
    const { kvEvents, kvTransfer } = this.#state;
    const hung = this.#faults.whole('hung_engine');
    setHung(this.#state, hung !== undefined);
    if (hung) this.#endAfter(hung);
    const stop = await kvEvents?.followFaults();
    if (stop) this.#endAfter(stop);
    const refusing = this.#faults.whole('refuse');
    const sideDown = this.#faults.whole('pd_side_down');
    await kvTransfer?.setOpen(!refusing && !sideDown);
    if (sideDown) this.#endAfter(sideDown);
    if (!refusing) {
      if (!this.#port.server.listening) await this.#port.listen();
      return;
    }
    await this.#port.close();
    this.#endAfter(refusing);
  }

  /** As when the process dies, and is started again after `forMs`. */
  die(forMs: number | undefined): void {
    this.#state.kvTransfer?.restart();
    this.#faults.add({ kind: 'refuse', for_ms: forMs });
  }

  #endAfter(fault: Fault): void {
    if (fault.forMs === undefined) return;
    simClock.after(fault.forMs, () => this.#faults.remove(fault));
  }
}
