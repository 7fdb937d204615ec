import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { dial } from './dial.ts';
import type { Endpoint } from './endpoint.ts';
import type { Peer, PeerEnd, PeerEvents, PeerOptions } from './peer.ts';
import type { SocketType } from './session.ts';

export interface RedialOptions extends PeerOptions {
  readonly random: Random;
}

export interface RedialEvents extends Omit<PeerEvents, 'onEnd'> {
  /** A connection ended or did not come about; the next one is tried in `pauseMs`. */
  onEnd(end: PeerEnd, pauseMs: number): void;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** One that ends sooner was no good: the pauses go on growing. */
const LASTING_MS = 10_000;

/** Keeps one connection to an endpoint: made again whenever it ends, after pauses that double. */
export class Redial {
  readonly #endpoint: Endpoint;
  readonly #type: SocketType;
  readonly #options: RedialOptions;
  readonly #events: RedialEvents;
  readonly #clock: Clock;
  #peer: Peer;
  #pause: Timer | undefined;
  #nextPauseMs = FIRST_PAUSE_MS;
  /** Monotonic ms; of the connection that is there. */
  #readyAt: number | undefined;
  #closed = false;

  constructor(endpoint: Endpoint, type: SocketType, options: RedialOptions, events: RedialEvents) {
    this.#endpoint = endpoint;
    this.#type = type;
    this.#options = options;
    this.#events = events;
    this.#clock = options.clock;
    this.#peer = this.#dial();
  }

  get peer(): Peer {
    return this.#peer;
  }

  close(): void {
    this.#closed = true;
    this.#pause?.cancel();
    this.#peer.close();
  }

  #dial(): Peer {
    return dial(this.#endpoint, this.#type, this.#options, {
      ...this.#events,
      onReady: (peer) => {
        this.#readyAt = this.#clock.now();
        this.#events.onReady(peer);
      },
      onEnd: (end) => this.#onEnd(end),
    });
  }

  #onEnd(end: PeerEnd): void {
    const lasted = this.#readyAt !== undefined && this.#clock.now() - this.#readyAt >= LASTING_MS;
    this.#readyAt = undefined;
    const base = lasted ? FIRST_PAUSE_MS : this.#nextPauseMs;
    this.#nextPauseMs = Math.min(LONGEST_PAUSE_MS, 2 * base);
    // Between half and the whole, so that a fleet does not come back at one instant.
    const pauseMs = base * (0.5 + 0.5 * this.#options.random());
    this.#events.onEnd(end, pauseMs);
    if (this.#closed) return;
    this.#pause = this.#clock.after(pauseMs, () => {
      this.#peer = this.#dial();
    });
  }
}
