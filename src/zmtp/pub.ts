import type { Endpoint } from './endpoint.ts';
import { encodeMessage } from './frames.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import type { Peer } from './peer.ts';
import { Redial, type RedialOptions } from './redial.ts';

const MAX_TOPICS = 1024;

/** Sends each message to whoever subscribed to it; who is slow loses some. Listens, or connects to subscribers that do. */
export class PubSocket {
  /** Topics wanted by each subscriber, as bytes in Latin-1. */
  readonly #topics = new Map<Peer, string[]>();
  #close: () => Promise<void> = async () => undefined;
  #endpoint: Endpoint | undefined;

  private constructor() {}

  /** Rejects with the system's error where nobody can listen there. */
  static async bind(endpoint: Endpoint, options: ListenerOptions): Promise<PubSocket> {
    const pub = new PubSocket();
    const listener = await Listener.open(endpoint, 'PUB', options, {
      ...pub.#events,
      onSubscription: (topic, wanted, peer) => pub.#onSubscription(topic, wanted, peer),
    });
    pub.#endpoint = listener.endpoint;
    pub.#close = () => listener.close();
    return pub;
  }

  static connect(endpoint: Endpoint, options: RedialOptions): PubSocket {
    const pub = new PubSocket();
    const redial = new Redial(endpoint, 'PUB', options, {
      ...pub.#events,
      onSubscription: (topic, wanted) => pub.#onSubscription(topic, wanted, redial.peer),
      onEnd: () => pub.#topics.clear(),
    });
    pub.#endpoint = endpoint;
    pub.#close = async () => redial.close();
    return pub;
  }

  /** Where it listens, with the port that it was given; or what it connects to. */
  get endpoint(): Endpoint | undefined {
    return this.#endpoint;
  }

  /** Peers that have subscribed to something. */
  get subscribers(): number {
    let count = 0;
    for (const topics of this.#topics.values()) if (topics.length > 0) count += 1;
    return count;
  }

  /** @returns to how many it went. */
  send(frames: readonly [topic: Uint8Array, ...rest: Uint8Array[]]): number {
    const topic = Buffer.from(frames[0]).toString('latin1');
    const message = encodeMessage(frames);
    let sent = 0;
    for (const [peer, wanted] of this.#topics)
      if (wanted.some((prefix) => topic.startsWith(prefix)) && peer.sendEncoded(message)) sent += 1;
    return sent;
  }

  close(): Promise<void> {
    return this.#close();
  }

  readonly #events = {
    onReady: (peer: Peer): void => {
      this.#topics.set(peer, []);
    },
    onMessage: (): void => undefined,
    onEnd: (_end: unknown, peer: Peer): void => {
      this.#topics.delete(peer);
    },
  };

  #onSubscription(bytes: Buffer, wanted: boolean, peer: Peer): void {
    const topic = bytes.toString('latin1');
    const topics = this.#topics.get(peer);
    if (!topics) return;
    const at = topics.indexOf(topic);
    if (!wanted && at >= 0) topics.splice(at, 1);
    else if (wanted && topics.length < MAX_TOPICS) topics.push(topic);
  }
}
