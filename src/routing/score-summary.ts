import { nthLowest } from '../base/nth-lowest.ts';

export interface Spread {
  readonly count: number;
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Places of the `count` lowest scores, lowest first; what is no finite number comes behind, and of equals the first. */
export function lowestOf(scores: Float64Array, count: number): number[] {
  const places: number[] = [];
  const keys: number[] = [];
  if (count === 0) return places;
  let highest = Infinity;
  for (let place = 0; place < scores.length; place++) {
    const score = scores[place]!;
    const isFull = places.length === count;
    // So it is for nearly all of many.
    if (isFull && !(score < highest)) continue;
    const key = Number.isFinite(score) ? score : Infinity;
    if (isFull && key === Infinity) continue;
    let at = isFull ? count - 1 : places.length;
    for (; at > 0 && key < keys[at - 1]!; at--) {
      keys[at] = keys[at - 1]!;
      places[at] = places[at - 1]!;
    }
    keys[at] = key;
    places[at] = place;
    highest = keys.at(-1)!;
  }
  return places;
}

/** The scores that are looked at, and those that are left when a median is sought. */
let seen = new Float64Array(0);
let left = new Float64Array(0);

/** What the finite scores come to, those at the places `apart` left out; undefined where there are none. */
export function spreadOf(scores: Float64Array, apart: readonly number[]): Spread | undefined {
  const { length } = scores;
  if (seen.length < length) [seen, left] = [new Float64Array(length), new Float64Array(length)];
  seen.set(scores);
  for (const place of apart) seen[place] = NaN;
  let bounds = boundsOf(seen, length);
  if (bounds.min === -Infinity || bounds.max === Infinity) {
    for (let place = 0; place < length; place++) if (!Number.isFinite(seen[place]!)) seen[place] = NaN;
    bounds = boundsOf(seen, length);
  }
  return bounds.count === 0 ? undefined : { ...bounds, median: medianOf(seen, length, bounds.count) };
}

/** Of all that are not NaN, as is what follows. */
function boundsOf(scores: Float64Array, length: number): Omit<Spread, 'median'> {
  let count = 0;
  let min = Infinity;
  let max = -Infinity;
  for (let place = 0; place < length; place++) {
    const score = scores[place]!;
    if (!Number.isNaN(score)) count++;
    if (score < min) min = score;
    if (score > max) max = score;
  }
  return { count, min, max };
}

/** The upper one, where there are two. Most workers of a fleet with little to do are alike, so any of them may well be it. */
function medianOf(scores: Float64Array, length: number, count: number): number {
  const place = count >> 1;
  let middle = length >> 1;
  while (Number.isNaN(scores[middle]!)) middle = (middle + 1) % length;
  const guess = scores[middle]!;
  let below = 0;
  let alike = 0;
  for (let at = 0; at < length; at++) {
    const score = scores[at]!;
    if (score < guess) below++;
    if (score === guess) alike++;
  }
  if (place < below) return nthLowest(left, place, gather(scores, length, -Infinity, guess));
  if (place < below + alike) return guess;
  return nthLowest(left, place - below - alike, gather(scores, length, guess, Infinity));
}

/** Fills `left` with those between, and returns how many they are. */
function gather(scores: Float64Array, length: number, above: number, below: number): number {
  const into = left;
  let count = 0;
  for (let at = 0; at < length; at++) {
    const score = scores[at]!;
    into[count] = score;
    if (score > above && score < below) count++;
  }
  return count;
}
