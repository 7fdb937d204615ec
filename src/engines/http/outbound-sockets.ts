import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Places } from '../../base/places.ts';
import { isShortage } from '../../base/shortage.ts';
import { ownMemory, type ThreadMemory } from '../../base/thread-memory.ts';

/** Hears once of a socket: that it is connected, or why not. */
export type Opened = (error: Error | null, socket: Socket | null) => void;

/** Begins to open one socket. */
export type Opener = (done: Opened) => void;

/** A kept-alive connection that can be given up for another one. */
export interface IdleConnection {
  /** Closes it at once. False when it is in use after all. */
  drop(): boolean;
}

/**
 * The sockets that the router opens, to workers, hooks and key services: so many, so that there is always one left for
 * the router's own questions. Where another is needed and may not be had, one that is kept for such questions goes, else the one
 * that has been idle longest. How many may be open is said of all threads together; each gives up its own.
 */
export class OutboundSockets {
  readonly #places: Places;
  readonly #onShortage: (side: 'worker') => void;
  readonly #idle = new Set<IdleConnection>();
  readonly #spare = new Set<IdleConnection>();

  constructor(
    limit = Infinity,
    onShortage: (side: 'worker') => void = () => undefined,
    memory: ThreadMemory = ownMemory(),
  ) {
    this.#places = new Places(memory, 'outbound', limit);
    this.#onShortage = onShortage;
  }

  /** Open now in all threads together, those of the reserve aside. */
  get open(): number {
    return this.#places.count;
  }

  /** Of all threads together. */
  get limit(): number {
    return this.#places.limit;
  }

  get full(): boolean {
    return this.#places.full;
  }

  /** `reserved` ones are not bound by the limit. */
  connect(opener: Opener, reserved: boolean, done: Opened): void {
    if (!reserved && !this.#places.take()) {
      if (!this.#dropOne()) {
        this.#onShortage('worker');
        done(new NoSocketLeft(), null);
        return;
      }
      this.#places.takeAnyway();
    }
    this.#tryConnect(opener, reserved, (error, socket) => {
      if (socket) done(null, socket);
      else if (!isShortage(error) && !isFailedLookup(error)) done(error, null);
      else if (this.#dropOne()) {
        if (!reserved) this.#places.takeAnyway();
        this.#tryConnect(opener, reserved, done);
      } else {
        this.#onShortage('worker');
        done(isShortage(error) ? error : new NoSocketLeft(), null);
      }
    });
  }

  /** Nothing runs on it. */
  idle(connection: IdleConnection): void {
    this.#idle.add(connection);
  }

  /** Idle, and kept for the router's own questions: the first to give way. False: there are enough of them. */
  spare(connection: IdleConnection): boolean {
    if (this.#spare.size >= this.limit / 2) return false;
    this.#spare.add(connection);
    return true;
  }

  /** It is in use again, or closed. */
  notIdle(connection: IdleConnection): void {
    if (!this.#idle.delete(connection)) this.#spare.delete(connection);
  }

  /** A thread has died, and its sockets. */
  reclaim(row: number): void {
    this.#places.reclaim(row);
  }

  /** Unless it is reserved it has a place, which it gives back. */
  #tryConnect(opener: Opener, reserved: boolean, done: Opened): void {
    const closed = (): void => {
      if (!reserved) this.#places.give();
    };
    opener((error, socket) => {
      if (socket) socket.once('close', closed);
      else closed();
      done(error, socket);
    });
  }

  #dropOne(): boolean {
    for (const kept of [this.#spare, this.#idle])
      for (const connection of kept) {
        kept.delete(connection);
        if (connection.drop()) return true;
      }
    return false;
  }
}

/** As many sockets are open as may be: told in the words of the system. */
class NoSocketLeft extends Error {
  readonly code = 'EMFILE';

  constructor() {
    super('the router may open no further connection');
  }
}

/** A name cannot be looked up without descriptors either; what the resolver says then sounds as if there were no such name. */
function isFailedLookup(error: Error | null): boolean {
  return error !== null && 'syscall' in error && error.syscall === 'getaddrinfo' && !canOpen();
}

function canOpen(): boolean {
  try {
    closeSync(openSync('/dev/null', 'r'));
    return true;
  } catch (error) {
    return !isShortage(error);
  }
}
