import { hash53, mix53 } from '../base/hash.ts';
import type { Member } from './policy.ts';

/**
 * Rendezvous (highest random weight) hashing: every member draws a number from its id and the key, the highest draw
 * owns the key. Shares are as even as chance allows and nothing but the lost member's keys ever moves, at the price of
 * one draw per member and choice.
 */
export class Rendezvous {
  readonly #hashes: Float64Array;

  constructor(members: readonly Member[]) {
    this.#hashes = Float64Array.from(members, (member) => hash53(member.id));
  }

  get bytes(): number {
    return this.#hashes.byteLength;
  }

  /**
   * The accepted member with the highest draw; -1 when none is accepted.
   *
   * @param hash 53-bit hash of the key.
   */
  find(hash: number, accepts: (index: number) => boolean): number {
    let best = -1;
    let highest = -1;
    for (let index = 0; index < this.#hashes.length; index++) {
      const draw = mix53(hash, this.#hashes[index]!);
      if (draw > highest && accepts(index)) {
        best = index;
        highest = draw;
      }
    }
    return best;
  }
}
