import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { DealerSocket } from './dealer.ts';
import { readEndpoint } from './endpoint.ts';
import type { EndCause } from './fault.ts';
import type { Peer } from './peer.ts';
import { bindSub, SubSocket } from './sub.ts';

export interface Closable {
  close(): void;
}

export interface SubscriptionEvents {
  onReady(): void;
  /** Frames may be windows on what was read at once: who keeps them copies them. */
  onMessage(frames: readonly Buffer[]): void;
  /** A connection ended or did not come about; another one is tried. */
  onDown(cause: EndCause, message: string): void;
}

export interface RequestEvents {
  onMessage(frames: readonly Buffer[]): void;
  /** Comes once; not after `close`. */
  onEnd(cause: EndCause, message: string): void;
}

/** Somebody who connected to us, as a key. */
export type Publisher = object;

export interface BoundEvents {
  onMessage(frames: readonly Buffer[], from: Publisher): void;
  onDown(cause: EndCause, message: string, from: Publisher): void;
}

/** What whoever reads events needs of ZeroMQ; endpoints are texts like `tcp://host:5557`. */
export interface Transport {
  /** Undefined where the text is no endpoint. */
  subscribe(endpoint: string, topic: string, events: SubscriptionEvents): Closable | undefined;
  /** One request to a ROUTER, with however many answers. */
  request(endpoint: string, frames: readonly Uint8Array[], events: RequestEvents): Closable | undefined;
  /** Takes connections of publishers. Rejects with the system's error. */
  bind(endpoint: string, topic: string, events: BoundEvents): Promise<Closable>;
}

export function zmtpTransport(options: { readonly clock: Clock; readonly random: Random }): Transport {
  return {
    subscribe: (text, topic, events) => {
      const endpoint = readEndpoint(text);
      return (
        endpoint &&
        new SubSocket(endpoint, [topic], options, {
          onReady: () => events.onReady(),
          onMessage: (frames) => events.onMessage(frames),
          onEnd: ({ cause, message }) => events.onDown(cause, message),
        })
      );
    },
    request: (text, frames, events) => {
      const endpoint = readEndpoint(text);
      return (
        endpoint &&
        new DealerSocket(endpoint, frames, options, {
          onMessage: (answer) => events.onMessage(answer),
          onEnd: ({ cause, message }) => events.onEnd(cause, message),
        })
      );
    },
    bind: async (text, topic, events) => {
      const endpoint = readEndpoint(text);
      if (!endpoint) throw new Error(`${JSON.stringify(text)} is no endpoint`);
      const listener = await bindSub(endpoint, [topic], options, {
        onReady: () => undefined,
        onMessage: (frames: readonly Buffer[], from: Peer) => events.onMessage(frames, from),
        onEnd: ({ cause, message }, from) => events.onDown(cause, message, from),
      });
      return { close: () => void listener.close() };
    },
  };
}
