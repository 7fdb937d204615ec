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
  readonly #ids: readonly string[];
  readonly #virtualNodes: number;

  /**
   * @param virtualNodes Points per member; the spread of shares falls with its square root.
   * @param previous A ring of nearly the same members. It changes nothing but the time this takes: with a thousand
   *   members, a millisecond or two in place of thirty, which matters where workers come and go under load.
   */
  constructor(members: readonly Member[], virtualNodes: number, previous?: HashRing) {
    if (members.length > INDEX_SPAN)
      throw new RangeError(`a ring holds at most ${String(INDEX_SPAN)} members`);
    this.#ids = members.map(({ id }) => id);
    this.#virtualNodes = virtualNodes;
    this.#points = (previous && this.#changed(previous)) ?? pointsOf(this.#ids, virtualNodes);
  }

  #changed(previous: HashRing): Float64Array | undefined {
    if (previous.#virtualNodes !== this.#virtualNodes) return undefined;
    const changes = changesOf(previous.#ids, this.#ids);
    return (
      changes && merged(previous.#points, changes, pointsOf(this.#ids, this.#virtualNodes, changes.joined))
    );
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

/** The sorted points of the members that `wanted` names by index. */
function pointsOf(
  ids: readonly string[],
  virtualNodes: number,
  wanted: readonly number[] = ids.map((_, index) => index),
): Float64Array {
  const points = new Float64Array(wanted.length * virtualNodes);
  let at = 0;
  for (const index of wanted) {
    const hash = hash53(ids[index]!);
    for (let node = 0; node < virtualNodes; node++) {
      points[at++] = ringPosition(mix53(hash, node)) * INDEX_SPAN + index;
    }
  }
  return points.sort();
}

interface Changes {
  /** By former index: the present one, or `GONE`. */
  readonly places: Int32Array;
  readonly joined: readonly number[];
  readonly kept: number;
}

const GONE = -1;

/** Undefined when those who stay do not stand in their former order: then their points do not either. */
function changesOf(before: readonly string[], now: readonly string[]): Changes | undefined {
  const joined = new Map(now.map((id, index) => [id, index]));
  const places = new Int32Array(before.length).fill(GONE);
  let last = GONE;
  let kept = 0;
  for (const [index, id] of before.entries()) {
    const place = joined.get(id);
    if (place === undefined) continue;
    if (place <= last) return undefined;
    places[index] = last = place;
    kept += 1;
    joined.delete(id);
  }
  return { places, joined: [...joined.values()], kept };
}

/** The points of those who stay, renumbered, and of those who joined, in order. */
function merged(points: Float64Array, { places, kept }: Changes, joined: Float64Array): Float64Array {
  const result = new Float64Array((points.length / Math.max(1, places.length)) * kept + joined.length);
  let at = 0;
  let next = 0;
  for (const point of points) {
    // By a multiplication: the remainder of two doubles costs ten times as much.
    const position = Math.floor(point / INDEX_SPAN) * INDEX_SPAN;
    const place = places[point - position]!;
    if (place === GONE) continue;
    const moved = position + place;
    while (next < joined.length && joined[next]! < moved) result[at++] = joined[next++]!;
    result[at++] = moved;
  }
  result.set(joined.subarray(next), at);
  return result;
}
