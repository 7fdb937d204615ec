import type { Clock, Timer } from '../../base/clock.ts';
import type { WorkerTls } from '../../config/settings/settings.ts';
import { Connection, type Purpose } from './connection.ts';
import type { OutboundSockets } from './outbound-sockets.ts';
import type { WorkerAddress } from './worker-address.ts';
import { tlsOptions } from './worker-tls.ts';

export interface PoolSettings {
  readonly connectMs: number;
  readonly maxHeaderSize: number;
  /** Undefined: as Node does it, with the authorities of the system. */
  readonly tls?: WorkerTls | undefined;
}

/** uvicorn closes idle connections after 5 s; a longer idle life here would race with it. */
const IDLE_MS = 4_000;
const LONGEST_IDLE_MS = 600_000;
/** How much earlier than the worker says it would. */
const EARLIER_MS = 1_000;

/** Connections to one server, opened as needed: as many as it has requests running. */
export class ConnectionPool {
  readonly address: WorkerAddress;
  readonly #settings: PoolSettings;
  readonly #clock: Clock;
  readonly #sockets: OutboundSockets;
  /** The one used last is taken first, so that what is not needed grows old. */
  readonly #idle: Connection[] = [];
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
    for (;;) {
      const connection = this.#idle.pop();
      if (!connection) return this.open(purpose);
      if (!connection.usable) continue;
      this.#sockets.notIdle(connection);
      return connection;
    }
  }

  open({ handedOver = false, reserved = false }: Partial<Purpose> = {}): Connection {
    const { tls, connectMs } = this.#settings;
    const options = {
      ...{ address: this.address, tls: tls && tlsOptions(tls), connectMs, clock: this.#clock },
      session: this.#session,
      onSession: this.#onSession,
    };
    // Questions of the router's own go beyond the limit only when it is reached.
    return new Connection(options, { handedOver, reserved: reserved && this.#sockets.full }, this.#sockets);
  }

  /** A connection whose answer has been read to its end; `keepAliveSecs` is what the worker said of it. */
  release(connection: Connection, keepAliveSecs: number | undefined): void {
    const idleMs =
      keepAliveSecs === undefined ? IDLE_MS : Math.min(LONGEST_IDLE_MS, 1000 * keepAliveSecs - EARLIER_MS);
    connection.release();
    if (this.#closed || idleMs <= 0 || connection.reserved || !connection.usable) {
      connection.destroy();
      return;
    }
    connection.idleUntil = this.#clock.now() + idleMs;
    this.#idle.push(connection);
    this.#sockets.idle(connection);
    if (connection.idleUntil < this.#sweepAt) this.#sweepIn(idleMs);
  }

  /** One has died unnoticed: the others that are kept were opened to the same process, which may be gone. */
  forgetIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Idle connections end now, the others when their requests do. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.forgetIdle();
  }

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
    this.#sweep?.cancel();
    this.#sweepAt = this.#clock.now() + delayMs;
    this.#sweep = this.#clock.after(delayMs, this.#onSweep);
  }
}
