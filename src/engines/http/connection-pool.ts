import type { Clock, Timer } from '../../base/clock.ts';
import type { ProxyAddress, WorkerTls } from '../../config/settings/settings.ts';
import { Connection, type Purpose } from './connection.ts';
import type { OutboundSockets } from './outbound-sockets.ts';
import type { WorkerAddress } from './worker-address.ts';
import { tlsOptions } from './worker-tls.ts';

export interface PoolSettings {
  readonly connectMs: number;
  readonly maxHeaderSize: number;
  /** Undefined: as Node does it, with the authorities of the system. */
  readonly tls?: WorkerTls | undefined;
  /** Of what is outside of the fleet. */
  readonly proxy?: ProxyAddress | undefined;
}

/** uvicorn closes idle connections after 5 s; a longer idle life here would race with it. */
const IDLE_MS = 4_000;
const LONGEST_IDLE_MS = 600_000;
/** How much earlier than the worker says it would. */
const EARLIER_MS = 1_000;
const SWEEP_STEP_MS = 100;
/** How long one may be idle that is kept for questions. Who balances loads on the way to the worker forgets it at some time. */
const LONGEST_SPARE_MS = 300_000;

/**
 * Connections to one server, opened as needed: as many as it has requests running. One is kept for longer than requests may
 * use it, for the router's own questions: where it has died by the time of the next one, that is asked again on a new one. A worker
 * that ends connections sooner than the questions come shows it the first time, and is believed.
 */
export class ConnectionPool {
  readonly address: WorkerAddress;
  readonly #settings: PoolSettings;
  readonly #clock: Clock;
  readonly #sockets: OutboundSockets;
  /** The one used last is taken first, so that what is not needed grows old. */
  readonly #idle: Connection[] = [];
  #spare: Connection | undefined;
  #spareSince = 0;
  /** How long it had been idle when it was last taken for a question. */
  #spareWasIdleMs = 0;
  /** How long the worker leaves it open, as far as is known. */
  #spareMs = LONGEST_SPARE_MS;
  #sweep: Timer | undefined;
  /** Monotonic ms; Infinity while nothing is idle. */
  #sweepAt = Infinity;
  #session: Buffer | undefined;
  #closed = false;

  constructor(
    address: WorkerAddress,
    settings: PoolSettings,
    { clock, sockets }: { readonly clock: Clock; readonly sockets: OutboundSockets },
  ) {
    this.address = address;
    this.#settings = settings;
    this.#clock = clock;
    this.#sockets = sockets;
  }

  /** A kept connection, or a new one where there is none. */
  take(purpose: Partial<Purpose> = {}): Connection {
    const isOwn = purpose.reserved === true;
    if (isOwn) this.#spareWasIdleMs = 0;
    if (isOwn && this.#spare) {
      const spare = this.#takeSpare(this.#spareSince + this.#spareMs);
      if (spare) return spare;
    }
    for (;;) {
      const connection = this.#idle.pop();
      if (!connection) break;
      if (!connection.usable) continue;
      this.#sockets.notIdle(connection);
      return connection;
    }
    const spare = !isOwn && this.#spare && this.#takeSpare(this.#spare.idleUntil);
    return spare || this.open(purpose);
  }

  open({ handedOver = false, reserved = false }: Partial<Purpose> = {}): Connection {
    const { tls, connectMs, proxy } = this.#settings;
    const options = {
      proxy,
      ...{ address: this.address, tls: tls && tlsOptions(tls), connectMs, clock: this.#clock },
      session: this.#session,
      onSession: this.#onSession,
    };
    // Questions of the router's own go beyond the limit only when it is reached.
    return new Connection(options, { handedOver, reserved: reserved && this.#sockets.full }, this.#sockets);
  }

  /**
   * A connection whose answer has been read to its end; `keepAliveSecs` is what the worker said of it, `isOwn`: it was one to a
   * question of the router's own.
   */
  release(connection: Connection, keepAliveSecs: number | undefined, isOwn = false): void {
    const idleMs =
      keepAliveSecs === undefined ? IDLE_MS : Math.min(LONGEST_IDLE_MS, 1000 * keepAliveSecs - EARLIER_MS);
    connection.release();
    if (this.#closed || idleMs <= 0 || connection.reserved || !connection.usable) {
      connection.destroy();
      return;
    }
    connection.idleUntil = this.#clock.now() + idleMs;
    if (isOwn && idleMs < this.#spareMs && this.#keepSpare(connection)) return;
    this.#idle.push(connection);
    this.#sockets.idle(connection);
    if (connection.idleUntil < this.#sweepAt) this.#sweepIn(idleMs);
  }

  /** One that was kept has. `isOwn`: it was asked a question of the router's own. */
  diedUnnoticed(isOwn: boolean): void {
    if (isOwn && this.#spareWasIdleMs > IDLE_MS) this.#spareMs = this.#spareWasIdleMs - EARLIER_MS;
    // The others were opened to the same process, which may be gone.
    else this.#forgetIdle();
  }

  #forgetIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
    this.#spare?.destroy();
    this.#spare = undefined;
  }

  /** Nobody answers there: whoever will, may keep connections longer. */
  unreachable(): void {
    this.#spareMs = LONGEST_SPARE_MS;
  }

  /** Idle connections end now, the others when their requests do. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#forgetIdle();
  }

  #keepSpare(connection: Connection): boolean {
    if (this.#spare?.usable === true || !this.#sockets.spare(connection)) return false;
    this.#spare = connection;
    this.#spareSince = this.#clock.now();
    connection.onEnded = this.#onSpareEnded;
    return true;
  }

  /** What is too old by now is closed. */
  #takeSpare(until: number): Connection | undefined {
    const spare = this.#spare;
    const now = this.#clock.now();
    if (!spare || (now >= until && now < this.#spareSince + this.#spareMs)) return undefined;
    this.#spare = undefined;
    spare.onEnded = undefined;
    if (spare.usable && now < until) {
      this.#spareWasIdleMs = now - this.#spareSince;
      this.#sockets.notIdle(spare);
      return spare;
    }
    spare.destroy();
    return undefined;
  }

  readonly #onSpareEnded = (): void => {
    this.#spare = undefined;
    this.#spareMs = this.#clock.now() - this.#spareSince - EARLIER_MS;
  };

  readonly #onSession = (session: Buffer): void => {
    this.#session = session;
  };

  readonly #onSweep = (): void => {
    const now = this.#clock.now();
    let next = Infinity;
    let kept = 0;
    for (const connection of this.#idle) {
      if (connection.idleUntil <= now || !connection.usable) {
        connection.destroy();
        continue;
      }
      next = Math.min(next, connection.idleUntil);
      this.#idle[kept] = connection;
      kept += 1;
    }
    this.#idle.length = kept;
    this.#sweepAt = Infinity;
    if (kept > 0) this.#sweepIn(next - now);
  };

  #sweepIn(delayMs: number): void {
    // In whole steps, so that the timers of hundreds of servers stand in few lines.
    const laterMs = Math.ceil(delayMs / SWEEP_STEP_MS) * SWEEP_STEP_MS;
    this.#sweep?.cancel();
    this.#sweepAt = this.#clock.now() + laterMs;
    this.#sweep = this.#clock.after(laterMs, this.#onSweep);
  }
}
