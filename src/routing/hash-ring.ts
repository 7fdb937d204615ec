import { hash53, mix53, ringPosition } from '../base/hash.ts';
import type { Member } from './policy.ts';

/** A point packs its place on the ring (32 bits) above the member's index (20 bits), so that one sort orders them. */
const INDEX_SPAN = 2 ** 20;

/**
 * A consistent-hash ring over a pool's membership, the masked members included: a worker that is down for a while
 * moves only its own keys, to the next members clockwise, and gets them back. A member's points depend on its id
 * alone, so replicas of the router agree, and a member that joins or leaves moves only the keys it gains or loses.
 */
export class HashRing {
  readonly #points: Float64Array;

  /** @param virtualNodes Points per member; the spread of shares falls with its square root. */
  constructor(members: readonly Member[], virtualNodes: number) {
    if (members.length > INDEX_SPAN)
      throw new RangeError(`a ring holds at most ${String(INDEX_SPAN)} members`);
    this.#points = new Float64Array(members.length * virtualNodes);
    let at = 0;
    for (const [index, member] of members.entries()) {
      const hash = hash53(member.id);
      for (let node = 0; node < virtualNodes; node++) {
        this.#points[at++] = ringPosition(mix53(hash, node)) * INDEX_SPAN + index;
      }
    }
    this.#points.sort();
  }

  get bytes(): number {
    return this.#points.byteLength;
  }

  /**
   * The first member clockwise from the key's place that is accepted; -1 when none is.
   *
   * @param hash 53-bit hash of the key.
   */
  find(hash: number, accepts: (index: number) => boolean): number {
    const points = this.#points;
    const start = this.#firstAtOrAfter(ringPosition(hash) * INDEX_SPAN);
    for (let step = 0; step < points.length; step++) {
      const at = start + step;
      const index = points[at < points.length ? at : at - points.length]! % INDEX_SPAN;
      if (accepts(index)) return index;
    }
    return -1;
  }

  /** The member that the key belongs to while everybody is well; -1 on an empty ring. */
  owner(hash: number): number {
    return this.find(hash, () => true);
  }

  #firstAtOrAfter(point: number): number {
    const points = this.#points;
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle]! < point) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
