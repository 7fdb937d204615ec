import type { Clock, Timer } from '../base/clock.ts';
import type { LoadLedger } from './ledger.ts';
import type { Worker } from './worker.ts';

/** `idle`: its last request ended; `forced`: time was up, and what was still running has been cut. */
export type DrainEnd = 'idle' | 'forced' | 'cancelled';

/**
 * Takes a worker out of service: from now on it gets no new requests, and those it has may finish until the time is
 * up. Whoever drains a worker removes it afterwards.
 */
export class Drain {
  readonly worker: Worker;
  readonly ended: Promise<DrainEnd>;
  readonly #clock: Clock;
  #forget: () => void = () => undefined;
  #settle!: (end: DrainEnd) => void;
  #timer: Timer;
  #endsAt: number;
  #over = false;
  #cut = 0;

  constructor(
    worker: Worker,
    deps: { readonly clock: Clock; readonly ledger: LoadLedger; readonly timeoutMs: number },
  ) {
    this.worker = worker;
    this.#clock = deps.clock;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    worker.draining = true;
    this.#endsAt = this.#clock.now() + deps.timeoutMs;
    this.#timer = this.#arm(deps.timeoutMs);
    this.#forget = deps.ledger.whenIdle(worker.slot, () => {
      this.#end('idle');
    });
  }

  /** Time until what still runs is cut. */
  get leftMs(): number {
    return this.#over ? 0 : Math.max(0, this.#endsAt - this.#clock.now());
  }

  /** Requests that were ended because the time was up. */
  get cut(): number {
    return this.#cut;
  }

  /** Another time limit, counted from now. */
  limit(timeoutMs: number): void {
    if (this.#over) return;
    this.#timer.cancel();
    this.#endsAt = this.#clock.now() + timeoutMs;
    this.#timer = this.#arm(timeoutMs);
  }

  /** The worker takes requests again. False, and nothing happens, once the drain is over. */
  cancel(): boolean {
    if (this.#over) return false;
    this.worker.draining = false;
    this.#end('cancelled');
    return true;
  }

  #arm(timeoutMs: number): Timer {
    return this.#clock.after(timeoutMs, () => {
      const { inFlight } = this.worker;
      this.#cut = inFlight.size;
      this.#end('forced');
      inFlight.cutAll();
    });
  }

  #end(end: DrainEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer.cancel();
    this.#forget();
    this.#settle(end);
  }
}
