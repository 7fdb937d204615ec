import type { Endpoint } from './endpoint.ts';
import { Listener, type ListenerEvents, type ListenerOptions } from './listener.ts';
import type { Peer } from './peer.ts';

/** Answers the one who sent these frames; @returns false where the answer was dropped. */
export type Reply = (frames: readonly Uint8Array[]) => boolean;

/** Takes messages of many peers and answers each of them by itself. */
export class RouterSocket {
  readonly #listener: Listener;

  private constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Rejects with the system's error where nobody can listen there. */
  static async bind(
    endpoint: Endpoint,
    options: ListenerOptions,
    onMessage: (frames: readonly Buffer[], reply: Reply, from: Peer) => void,
    ends: Partial<Pick<ListenerEvents, 'onEnd' | 'onRefused'>> = {},
  ): Promise<RouterSocket> {
    const listener = await Listener.open(endpoint, 'ROUTER', options, {
      onReady: () => undefined,
      onMessage: (frames, peer) => onMessage(frames, (answer) => peer.send(answer), peer),
      onEnd: () => undefined,
      ...ends,
    });
    return new RouterSocket(listener);
  }

  /** Where it listens, with the port that it was given. */
  get endpoint(): Endpoint {
    return this.#listener.endpoint;
  }

  /** Those that are there, ready or not. */
  get peers(): ReadonlySet<Peer> {
    return this.#listener.peers;
  }

  close(): Promise<void> {
    return this.#listener.close();
  }
}
