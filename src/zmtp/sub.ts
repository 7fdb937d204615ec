import type { Endpoint } from './endpoint.ts';
import { Listener, type ListenerEvents, type ListenerOptions } from './listener.ts';
import type { Peer } from './peer.ts';
import { Redial, type RedialEvents, type RedialOptions } from './redial.ts';

/** Subscribes to what a publisher sends, on every connection anew. Topics are prefixes; the empty one is everything. */
export class SubSocket {
  readonly #redial: Redial;

  constructor(endpoint: Endpoint, topics: readonly string[], options: RedialOptions, events: RedialEvents) {
    this.#redial = new Redial(endpoint, 'SUB', options, {
      ...events,
      onReady: (peer) => {
        subscribe(peer, topics);
        events.onReady(peer);
      },
    });
  }

  close(): void {
    this.#redial.close();
  }
}

/** The same for publishers that connect to us. */
export function bindSub(
  endpoint: Endpoint,
  topics: readonly string[],
  options: ListenerOptions,
  events: ListenerEvents,
): Promise<Listener> {
  return Listener.open(endpoint, 'SUB', options, {
    ...events,
    onReady: (peer) => {
      subscribe(peer, topics);
      events.onReady(peer);
    },
  });
}

function subscribe(peer: Peer, topics: readonly string[]): void {
  for (const topic of topics) peer.subscribe(Buffer.from(topic));
}
