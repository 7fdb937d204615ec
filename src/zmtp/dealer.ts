import { dial } from './dial.ts';
import type { Endpoint } from './endpoint.ts';
import type { Peer, PeerEnd, PeerOptions } from './peer.ts';

export interface DealerEvents {
  /** Frames may be windows on what was read at once: who keeps them copies them. */
  onMessage(frames: readonly Buffer[]): void;
  /** Comes once; not after `close`. */
  onEnd(end: PeerEnd): void;
}

/** Asks a ROUTER on one connection, which is not made again when it ends. */
export class DealerSocket {
  readonly #peer: Peer;

  /** @param first what is sent when the peer is ready. */
  constructor(endpoint: Endpoint, first: readonly Uint8Array[], options: PeerOptions, events: DealerEvents) {
    this.#peer = dial(endpoint, 'DEALER', options, {
      onReady: (peer) => void peer.send(first),
      onMessage: (frames) => events.onMessage(frames),
      onEnd: (end) => events.onEnd(end),
    });
  }

  close(): void {
    this.#peer.close();
  }
}
