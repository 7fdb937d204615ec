import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';

/** How long a search for an idle connection that found none is believed. */
const SEARCH_PAUSE_MS = 100;

/** Whether a connection that came so long ago can be closed for another one. */
export type IsIdle = (socket: Socket, ageMs: number) => boolean;

/**
 * The connections of clients: so many have a seat, and may ask for anything. Those beyond stand, and get what needs no
 * worker; each takes the first seat that is free when it asks. A connection that is idle makes room.
 */
export class ClientSeats {
  readonly #limit: number;
  readonly #clock: Clock;
  /** With when they came; those that came first are first. */
  readonly #seated = new Map<Socket, number>();
  readonly #standing = new Map<Socket, number>();
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
  arrive(socket: Socket, isIdle: IsIdle): void {
    const isSeated = this.#seated.size < this.#limit || this.#dropIdle([this.#seated], isIdle);
    const places = isSeated ? this.#seated : this.#standing;
    places.set(socket, this.#clock.now());
    socket.once('close', () => {
      this.#seated.delete(socket);
      this.#standing.delete(socket);
    });
  }

  /** A connection was turned away although it might only have needed another one to be closed: the next one comes in. */
  makeRoom(isIdle: IsIdle): void {
    this.#dropIdle([this.#seated, this.#standing], isIdle);
  }

  /** Whether the connection has a seat, or gets one now. */
  claim(socket: Socket): boolean {
    const since = this.#standing.get(socket);
    if (since === undefined) return true;
    if (this.#seated.size >= this.#limit) return false;
    this.#standing.delete(socket);
    this.#seated.set(socket, since);
    return true;
  }

  #dropIdle(places: readonly Map<Socket, number>[], isIdle: IsIdle): boolean {
    const now = this.#clock.now();
    if (now < this.#searchFrom) return false;
    for (const sockets of places) {
      for (const [socket, since] of sockets) {
        if (!isIdle(socket, now - since)) continue;
        sockets.delete(socket);
        socket.destroy();
        return true;
      }
    }
    this.#searchFrom = now + SEARCH_PAUSE_MS;
    return false;
  }
}
