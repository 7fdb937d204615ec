import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { Places } from '../base/places.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';

/** How long a search for an idle connection that found none is believed. */
const SEARCH_PAUSE_MS = 100;

/** Whether a connection that came so long ago can be closed for another one. */
export type IsIdle = (socket: Socket, ageMs: number) => boolean;

/**
 * The connections of clients: so many have a seat, and may ask for anything. Those beyond stand, and get what needs no
 * worker; each takes the first seat that is free when it asks. A connection that is idle makes room. The seats are those of all
 * threads; each knows its own connections, and makes room by these.
 */
export class ClientSeats {
  readonly #places: Places;
  readonly #clock: Clock;
  /** With when they came; those that came first are first. */
  readonly #seated = new Map<Socket, number>();
  readonly #standing = new Map<Socket, number>();
  #searchFrom = 0;

  constructor(limit: number, clock: Clock, memory: ThreadMemory = ownMemory()) {
    this.#places = new Places(memory, 'seats', limit);
    this.#clock = clock;
  }

  /** By connections of this thread. */
  get taken(): number {
    return this.#places.own;
  }

  /** Seats of all threads together. */
  get limit(): number {
    return this.#places.limit;
  }

  /** A new connection; `isIdle` tells which others could be closed for it. */
  arrive(socket: Socket, isIdle: IsIdle): void {
    // The seat of one that is dropped is the newcomer's.
    const isSeated = this.#places.take() || this.#dropIdle([this.#seated], isIdle) !== undefined;
    const connections = isSeated ? this.#seated : this.#standing;
    connections.set(socket, this.#clock.now());
    socket.once('close', () => {
      if (this.#seated.delete(socket)) this.#places.give();
      this.#standing.delete(socket);
    });
  }

  /** A connection was turned away although it might only have needed another one to be closed: the next one comes in. */
  makeRoom(isIdle: IsIdle): void {
    if (this.#dropIdle([this.#seated, this.#standing], isIdle) === this.#seated) this.#places.give();
  }

  /** Whether the connection has a seat, or gets one now. */
  claim(socket: Socket): boolean {
    const since = this.#standing.get(socket);
    if (since === undefined) return true;
    if (!this.#places.take()) return false;
    this.#standing.delete(socket);
    this.#seated.set(socket, since);
    return true;
  }

  /** A thread has died, and its connections. */
  reclaim(row: number): void {
    this.#places.reclaim(row);
  }

  /** Where the one was that has been dropped. */
  #dropIdle(among: readonly Map<Socket, number>[], isIdle: IsIdle): Map<Socket, number> | undefined {
    const now = this.#clock.now();
    if (now < this.#searchFrom) return undefined;
    for (const sockets of among) {
      for (const [socket, since] of sockets) {
        if (!isIdle(socket, now - since)) continue;
        sockets.delete(socket);
        socket.destroy();
        return sockets;
      }
    }
    this.#searchFrom = now + SEARCH_PAUSE_MS;
    return undefined;
  }
}
