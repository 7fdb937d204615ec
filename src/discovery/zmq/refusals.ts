import type { Clock } from '../../base/clock.ts';
import { SaidLately } from '../../base/said-lately.ts';
import type { AddressProblem } from './allowed-addresses.ts';
import type { PeerProblem } from './live-peers.ts';
import type { MessageProblem } from './peer-message.ts';

/** Why a message, or a connection, was not taken. */
export type Refusal =
  | MessageProblem
  | AddressProblem
  | PeerProblem
  /** A connection beyond the bound, one that speaks something else, or one that says nothing that counts. */
  | 'connection';

/** In words, for the log. */
const WORDS: Readonly<Record<Refusal, string>> = {
  malformed: 'it cannot be read',
  unknown_type: 'its type is neither P nor D, nor register or HELLO with a role',
  bad_address: 'its addresses are not IP addresses with a port',
  low_port: 'it names a port below 1024',
  special_address: 'it names a link-local, multicast or mapped address',
  own_address: 'it names the router itself',
  not_allowed: 'it names an address outside of pd.discovery_allow',
  changed: 'it says something else of a server than before, which holds until that is silent',
  address_taken: 'another worker has its zmq_address',
  other_transfer_mode: 'the others have another transfer_mode',
  too_many: 'there are as many workers as there may be',
  connection: 'a connection beyond the bound, or one that says nothing that counts',
};

export interface RefusalDeps {
  readonly clock: Clock;
  readonly count: (refusal: Refusal) => void;
  readonly warn: (fields: Readonly<Record<string, unknown>>, text: string) => void;
}

/** Counts what is refused, and says it once a minute for each reason. */
export class Refusals {
  readonly #deps: RefusalDeps;
  readonly #said: SaidLately;

  constructor(deps: RefusalDeps) {
    this.#deps = deps;
    this.#said = new SaidLately(deps.clock);
  }

  note(refusal: Refusal, about: Readonly<Record<string, unknown>>): void {
    const { count, warn } = this.#deps;
    count(refusal);
    if (!this.#said.isDue(refusal)) return;
    warn({ reason: refusal, ...about }, `a worker that registers itself is refused: ${WORDS[refusal]}`);
  }
}
