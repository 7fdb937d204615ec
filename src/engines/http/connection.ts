import type { Socket } from 'node:net';
import { openSocket, type SocketOptions } from './open-socket.ts';
import type { IdleConnection, OutboundSockets } from './outbound-sockets.ts';

/** Who has a request on a connection. */
export interface ConnectionUser {
  onConnect(socket: Socket): void;
  /** The bytes are gone when it returns: what is kept must be copied. */
  onBytes(bytes: Buffer): void;
  /** What was written has left; after `write` said no. */
  onDrain(): void;
  /** Nothing more comes; `error` where there was one. Comes once. */
  onClose(error: Error | undefined): void;
}

/** What one connection is opened for. */
export interface Purpose {
  /** Its socket will be given away, so it is read as a stream. */
  readonly handedOver: boolean;
  /** For the router's own questions, beyond the limit of sockets; not kept. */
  readonly reserved: boolean;
}

/** One connection to a worker, with one request on it at a time. */
export class Connection implements IdleConnection {
  readonly reserved: boolean;
  /** Requests begun on it. */
  carried = 0;
  /** Monotonic ms; while it is idle. */
  idleUntil = 0;
  /** Told when the worker ends it while nobody uses it. */
  onEnded: (() => void) | undefined;
  readonly #sockets: OutboundSockets;
  #socket: Socket | undefined;
  #connected = false;
  #user: ConnectionUser | undefined;
  #error: Error | undefined;
  #over = false;

  constructor(options: SocketOptions, { handedOver, reserved }: Purpose, sockets: OutboundSockets) {
    this.reserved = reserved;
    this.#sockets = sockets;
    const onBytes = handedOver ? undefined : this.#onBytes;
    sockets.connect(
      (done) => {
        this.#socket = openSocket(options, onBytes, done);
      },
      reserved,
      (error, socket) => {
        if (!socket) this.#closed(error ?? undefined);
        else if (this.#over) socket.destroy();
        else this.#connectedWith(socket, handedOver);
      },
    );
  }

  /** Whether it can take a request. */
  get usable(): boolean {
    return !this.#over && this.#socket?.writable === true;
  }

  use(user: ConnectionUser): void {
    this.carried += 1;
    this.#user = user;
    if (this.#connected && this.#socket) user.onConnect(this.#socket);
    // It failed before there was anybody to tell.
    else if (this.#over) process.nextTick(() => user.onClose(this.#error));
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Its user is done; what comes from now on is nobody's. */
  release(): void {
    this.#user = undefined;
    if (this.#socket?.isPaused() === true) this.#socket.resume();
  }

  /** Gives it up for another one. */
  drop(): boolean {
    if (this.#user) return false;
    this.destroy();
    return true;
  }

  destroy(): void {
    this.#over = true;
    this.#user = undefined;
    this.#sockets.notIdle(this);
    this.#socket?.destroy();
  }

  /** Gives the socket away, paused, with `rest` to be read from it first. */
  handOver(socket: Socket, rest: Buffer): Socket {
    this.#over = true;
    this.#user = undefined;
    socket
      .off('data', this.#onBytes)
      .off('drain', this.#onDrain)
      .off('error', this.#onError)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .pause();
    if (rest.length > 0) socket.unshift(rest);
    return socket;
  }

  #connectedWith(socket: Socket, asStream: boolean): void {
    this.#socket = socket;
    this.#connected = true;
    socket
      .on('drain', this.#onDrain)
      .on('error', this.#onError)
      .on('end', this.#onEnd)
      .on('close', this.#onClose);
    if (asStream) socket.on('data', this.#onBytes);
    this.#user?.onConnect(socket);
  }

  readonly #onBytes = (bytes: Buffer): void => {
    if (this.#over) return;
    // Nobody asked for anything: whatever it is, the next answer on this connection cannot be trusted.
    if (this.#user) this.#user.onBytes(bytes);
    else this.destroy();
  };

  readonly #onDrain = (): void => {
    this.#user?.onDrain();
  };

  readonly #onError = (error: Error): void => {
    this.#error = error;
  };

  /** A half-closed connection is of no use: an answer that has not ended will not. */
  readonly #onEnd = (): void => {
    this.#closed(this.#error);
    this.#socket?.destroy();
  };

  readonly #onClose = (): void => {
    this.#closed(this.#error);
  };

  #closed(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#sockets.notIdle(this);
    const user = this.#user;
    this.#user = undefined;
    if (user) user.onClose(error);
    else this.onEnded?.();
  }
}
