import type { Socket } from 'node:net';
import type { ByteBudget } from '../base/byte-budget.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { systemReason } from '../base/system-reason.ts';
import { pingCommand } from './commands.ts';
import { ZmtpFault, type EndCause } from './fault.ts';
import { encodeMessage, FRAME_LIMITS, type FrameLimits } from './frames.ts';
import { Session, type SocketType } from './session.ts';

export interface PeerOptions {
  readonly clock: Clock;
  readonly limits?: FrameLimits;
  /** Until the peer has said READY, the connecting included; in ms. */
  readonly handshakeMs?: number;
  /** A peer that was silent for so long is asked for a sign of life, and given up after as long again; in ms. */
  readonly idleMs?: number;
  /** For messages that have not come whole yet; shared with other peers. Whoever wants more than there is has to go. */
  readonly readBytes?: ByteBudget;
  /** Waiting to be sent to one peer; beyond it messages are dropped, as beyond libzmq's high-water mark. */
  readonly maxQueuedBytes?: number;
}

/** How a connection ended. */
export interface PeerEnd {
  readonly cause: EndCause;
  readonly message: string;
}

export interface PeerEvents {
  onReady(peer: Peer): void;
  /** Frames may be windows on what was read at once: who keeps them copies them. */
  onMessage(frames: readonly Buffer[], peer: Peer): void;
  onSubscription?(topic: Buffer, wanted: boolean): void;
  /** Comes once; not after `close`. */
  onEnd(end: PeerEnd, peer: Peer): void;
}

const HANDSHAKE_MS = 10_000;
const IDLE_MS = 15_000;
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** What is still to be sent when a peer is closed may take so long. */
const LINGER_MS = 1000;

/** A connection to one peer, connected or about to be. */
export class Peer {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #events: PeerEvents;
  readonly #session: Session;
  readonly #idleMs: number;
  readonly #maxQueuedBytes: number;
  readonly #readBytes: ByteBudget | undefined;
  /** What was taken of it. */
  #taken = 0;
  readonly #handshake: Timer;
  #idle: Timer | undefined;
  #ttl: Timer | undefined;
  /** Monotonic ms of the last bytes. */
  #heardAt = 0;
  #isAsked = false;
  #over = false;
  #dropped = 0;

  constructor(socket: Socket, type: SocketType, options: PeerOptions, events: PeerEvents) {
    this.#socket = socket;
    this.#clock = options.clock;
    this.#events = events;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#readBytes = options.readBytes;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? MAX_QUEUED_BYTES;
    this.#session = new Session(type, options.limits ?? FRAME_LIMITS, {
      write: (bytes) => void socket.write(bytes),
      onReady: () => this.#onReady(),
      // Nothing more is told of a peer that was closed while its bytes were read.
      onMessage: (frames) => this.#over || events.onMessage(frames, this),
      onSubscription: (topic, wanted) => this.#over || events.onSubscription?.(topic, wanted),
      onPing: (ttlMs) => this.#onPing(ttlMs),
    });
    this.#handshake = this.#clock.after(options.handshakeMs ?? HANDSHAKE_MS, () =>
      this.#end({ cause: 'timeout', message: socket.connecting ? 'no connection' : 'no READY' }),
    );
    socket.setNoDelay(true);
    socket.on('data', this.#onBytes).on('error', this.#onError).on('close', this.#onClose);
    if (socket.connecting) socket.once('connect', () => this.#session.begin());
    else this.#session.begin();
  }

  get ready(): boolean {
    return this.#session.ready && !this.#over;
  }

  /** The address it connects from; undefined where it has none, or is gone. */
  get address(): string | undefined {
    return this.#socket.remoteAddress;
  }

  /** Messages that were not sent because too much was waiting. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @returns false where the message was dropped. */
  send(frames: readonly Uint8Array[]): boolean {
    return this.sendEncoded(encodeMessage(frames));
  }

  /** `send` for what goes to many peers. */
  sendEncoded(message: Buffer): boolean {
    if (!this.ready) return false;
    if (this.#socket.writableLength > this.#maxQueuedBytes) {
      this.#dropped += 1;
      return false;
    }
    this.#socket.write(message);
    return true;
  }

  subscribe(topic: Uint8Array): void {
    this.#session.subscribe(topic);
  }

  /** What was sent before still goes out, for a second at most. */
  close(): void {
    if (!this.#release()) return;
    if (this.#socket.connecting || this.#socket.writableLength === 0) {
      this.#socket.destroy();
      return;
    }
    this.#socket.destroySoon();
    const linger = this.#clock.after(LINGER_MS, () => this.#socket.destroy());
    this.#socket.once('close', () => linger.cancel());
  }

  readonly #onBytes = (bytes: Buffer): void => {
    if (this.#over) return;
    this.#heardAt = this.#clock.now();
    this.#isAsked = false;
    try {
      this.#session.push(bytes);
      this.#account();
    } catch (error) {
      if (!(error instanceof ZmtpFault)) throw error;
      this.#end({ cause: error.endCause, message: error.message });
    }
  };

  /** @throws ZmtpFault */
  #account(): void {
    if (this.#over || !this.#readBytes) return;
    this.#readBytes.give(this.#taken);
    const waiting = this.#session.waitingBytes;
    this.#taken = this.#readBytes.take(waiting) ? waiting : 0;
    if (this.#taken < waiting)
      throw new ZmtpFault(
        'too_large',
        'messages of many peers are unfinished, and there is no room for more',
      );
  }

  readonly #onError = (error: Error): void => {
    const cause = this.#session.begun ? 'closed' : 'unreachable';
    this.#end({ cause, message: systemReason(error) });
  };

  readonly #onClose = (): void => {
    this.#end({ cause: 'closed', message: 'the connection was closed' });
  };

  #onReady(): void {
    this.#handshake.cancel();
    if (this.#over) return;
    this.#idle = this.#clock.after(this.#idleMs, () => this.#lookWhetherIdle());
    this.#events.onReady(this);
  }

  #lookWhetherIdle(): void {
    const isSilent = this.#clock.now() - this.#heardAt >= this.#idleMs;
    if (isSilent && this.#isAsked) {
      this.#end({ cause: 'timeout', message: 'no answer to PING' });
      return;
    }
    // Older peers take it for an error; for them there is TCP's own keepalive.
    if (isSilent && this.#session.knowsPing) {
      this.#isAsked = true;
      this.#session.sendCommand(pingCommand(2 * this.#idleMs));
    }
    this.#idle?.refresh();
  }

  #onPing(ttlMs: number): void {
    // Somebody who sends PING and reads nothing would have us keep all the answers.
    if (this.#socket.writableLength > this.#maxQueuedBytes)
      throw new ZmtpFault('malformed', 'it asks and does not read');
    this.#ttl?.cancel();
    this.#ttl = undefined;
    if (ttlMs > 0 && !this.#over) this.#ttl = this.#clock.after(ttlMs, () => this.#lookWhetherAlive(ttlMs));
  }

  #lookWhetherAlive(ttlMs: number): void {
    if (this.#clock.now() - this.#heardAt < ttlMs) this.#ttl?.refresh();
    else this.#end({ cause: 'timeout', message: 'no sign of life within the time it gave' });
  }

  #end(end: PeerEnd): void {
    if (!this.#release()) return;
    this.#socket.destroy();
    this.#events.onEnd(end, this);
  }

  /** @returns whether it was not over yet. */
  #release(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#handshake.cancel();
    this.#idle?.cancel();
    this.#ttl?.cancel();
    this.#readBytes?.give(this.#taken);
    this.#taken = 0;
    return true;
  }
}
