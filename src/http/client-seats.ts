import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';

/** How long a search for an idle connection that found none is believed. */
const SEARCH_PAUSE_MS = 100;

/**
 * The connections of clients: so many have a seat, and may ask for anything. Those beyond stand, and get what needs no
 * worker; each takes the first seat that is free when it asks. A connection that is kept alive and idle makes room.
 */
export class ClientSeats {
  readonly #limit: number;
  readonly #clock: Clock;
  readonly #seated = new Set<Socket>();
  readonly #standing = new Set<Socket>();
  #searchFrom = 0;

  constructor(limit: number, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  get taken(): number {
    return this.#seated.size;
  }

  get limit(): number {
    return this.#limit;
  }

  /** A new connection; `isIdle` tells which others could be closed for it. */
  arrive(socket: Socket, isIdle: (other: Socket) => boolean): void {
    const seats = this.#seated.size < this.#limit || this.#dropIdle(isIdle) ? this.#seated : this.#standing;
    seats.add(socket);
    socket.once('close', () => {
      this.#seated.delete(socket);
      this.#standing.delete(socket);
    });
  }

  /** Whether the connection has a seat, or gets one now. */
  claim(socket: Socket): boolean {
    if (this.#standing.size === 0 || !this.#standing.has(socket)) return true;
    if (this.#seated.size >= this.#limit) return false;
    this.#standing.delete(socket);
    this.#seated.add(socket);
    return true;
  }

  #dropIdle(isIdle: (socket: Socket) => boolean): boolean {
    const now = this.#clock.now();
    if (now < this.#searchFrom) return false;
    for (const socket of this.#seated) {
      if (!isIdle(socket)) continue;
      this.#seated.delete(socket);
      socket.destroy();
      return true;
    }
    this.#searchFrom = now + SEARCH_PAUSE_MS;
    return false;
  }
}
