import type { Clock } from '../../base/clock.ts';
import { httpUrl } from './ip-address.ts';
import type { PeerMessage } from './peer-message.ts';

/** Silent for longer than this, a worker is gone; it says something every three seconds. */
export const PEER_TTL_MS = 5000;
const MOST_PEERS = 1024;

/** A worker that registers itself, from its first message until it is silent. */
export interface LivePeer {
  readonly message: PeerMessage;
  /** Its base URL as a worker. */
  readonly url: string;
  /** `clock.now()` of the first and of the latest message. */
  readonly since: number;
  heardAt: number;
  /** Whence the latest came; undefined where that is not known. */
  from: string | undefined;
}

/** Why a message is not followed. */
export type PeerProblem =
  /** Something else is said of a server than before: what was said first holds until it is silent. */
  | 'changed'
  /** Another one has that address for its blocks. */
  | 'address_taken'
  /** All of MoRI-IO write, or all read. */
  | 'other_transfer_mode'
  | 'too_many';

export type Heard =
  | { readonly kind: 'new' | 'known'; readonly peer: LivePeer }
  | { readonly kind: 'refused'; readonly problem: PeerProblem };

/** Who has said within the time that it is there. */
export class LivePeers {
  readonly #clock: Clock;
  readonly #byUrl = new Map<string, LivePeer>();
  readonly #byZmqAddress = new Map<string, LivePeer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): Iterable<LivePeer> {
    return this.#byUrl.values();
  }

  get(url: string): LivePeer | undefined {
    return this.#byUrl.get(url);
  }

  hear(message: PeerMessage, from: string | undefined): Heard {
    const url = httpUrl(message.http);
    const now = this.#clock.now();
    const known = this.#byUrl.get(url);
    if (known) {
      if (!isSame(known.message, message)) return refused('changed');
      known.heardAt = now;
      known.from = from;
      return { kind: 'known', peer: known };
    }
    if (this.#byZmqAddress.has(message.zmqAddress)) return refused('address_taken');
    if (this.#byUrl.size >= MOST_PEERS) return refused('too_many');
    if (!this.#fitsMode(message)) return refused('other_transfer_mode');
    const peer = { message, url, since: now, heardAt: now, from };
    this.#byUrl.set(url, peer);
    this.#byZmqAddress.set(message.zmqAddress, peer);
    return { kind: 'new', peer };
  }

  /** Forgets those that have been silent for too long, or that are not `wanted`. @returns whom. */
  drop(wanted: (peer: LivePeer) => boolean = () => true): LivePeer[] {
    const before = this.#clock.now() - PEER_TTL_MS;
    const gone = [...this.#byUrl.values()].filter((peer) => peer.heardAt <= before || !wanted(peer));
    for (const { url, message } of gone) {
      this.#byUrl.delete(url);
      this.#byZmqAddress.delete(message.zmqAddress);
    }
    return gone;
  }

  #fitsMode({ transferMode: mode }: PeerMessage): boolean {
    if (mode === undefined) return true;
    for (const { message } of this.#byUrl.values())
      if (message.transferMode !== undefined) return message.transferMode === mode;
    return true;
  }
}

function refused(problem: PeerProblem): Heard {
  return { kind: 'refused', problem };
}

function isSame(one: PeerMessage, other: PeerMessage): boolean {
  return (
    one.role === other.role &&
    one.zmqAddress === other.zmqAddress &&
    one.transferMode === other.transferMode &&
    one.dpSize === other.dpSize &&
    one.tpSize === other.tpSize
  );
}
