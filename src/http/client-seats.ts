import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { Places } from '../base/places.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';

/** How long a search for an idle connection that found none is believed. */
const SEARCH_PAUSE_MS = 100;

/** Whether a connection that came so long ago can be closed for another one. */
export type IsIdle = (socket: Socket, ageMs: number) => boolean;

/** Where connections are: of so many in all threads, those of this one, with when they came; who came first is first. */
interface Room {
  readonly places: Places;
  readonly sockets: Map<Socket, number>;
}

/**
 * The connections of clients: so many have a seat, and may ask for anything. Those beyond stand, and get what needs no
 * worker; each takes the first seat that is free when it asks. A connection that is idle makes room. The seats are those of all
 * threads, and so is the room to stand in; each thread knows its own connections, and makes room by these.
 */
export class ClientSeats {
  readonly #clock: Clock;
  readonly #seated: Room;
  readonly #standing: Room;
  #searchFrom = 0;

  /** @param standing How many may stand. */
  constructor(limit: number, clock: Clock, memory: ThreadMemory = ownMemory(), standing = Infinity) {
    this.#clock = clock;
    this.#seated = { places: new Places(memory, 'seats:seated', limit), sockets: new Map() };
    this.#standing = { places: new Places(memory, 'seats:standing', standing), sockets: new Map() };
  }

  /** By connections of all threads together... */
  get taken(): number {
    return this.#seated.places.count;
  }

  /** ...and by those of this one. */
  get takenHere(): number {
    return this.#seated.sockets.size;
  }

  /** Seats of all threads together. */
  get limit(): number {
    return this.#seated.places.limit;
  }

  /** A new connection; `isIdle` tells which others could be closed for it. False where there is no room to stand in either. */
  arrive(socket: Socket, isIdle: IsIdle): boolean {
    const room = this.#roomFor(isIdle);
    if (!room) return false;
    room.sockets.set(socket, this.#clock.now());
    socket.once('close', () => {
      for (const { sockets, places } of [this.#seated, this.#standing])
        if (sockets.delete(socket)) places.give();
    });
    return true;
  }

  /** A connection was turned away although it might only have needed another one to be closed: the next one comes in. */
  makeRoom(isIdle: IsIdle): void {
    this.#dropIdle([this.#seated, this.#standing], isIdle)?.places.give();
  }

  /** Whether the connection has a seat, or gets one now. */
  claim(socket: Socket): boolean {
    const since = this.#standing.sockets.get(socket);
    if (since === undefined) return true;
    if (!this.#seated.places.take()) return false;
    this.#standing.sockets.delete(socket);
    this.#standing.places.give();
    this.#seated.sockets.set(socket, since);
    return true;
  }

  /** A thread has died, and its connections. */
  reclaim(row: number): void {
    for (const { places } of [this.#seated, this.#standing]) places.reclaim(row);
  }

  /** Its place is taken. The seat of one that is dropped is the newcomer's. */
  #roomFor(isIdle: IsIdle): Room | undefined {
    if (this.#seated.places.take()) return this.#seated;
    return (
      this.#dropIdle([this.#seated], isIdle) ?? (this.#standing.places.take() ? this.#standing : undefined)
    );
  }

  /** Where the one was that has been dropped; its place is still taken. */
  #dropIdle(among: readonly Room[], isIdle: IsIdle): Room | undefined {
    const now = this.#clock.now();
    if (now < this.#searchFrom) return undefined;
    for (const room of among) {
      for (const [socket, since] of room.sockets) {
        if (!isIdle(socket, now - since)) continue;
        room.sockets.delete(socket);
        socket.destroy();
        return room;
      }
    }
    this.#searchFrom = now + SEARCH_PAUSE_MS;
    return undefined;
  }
}
