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
  let place = 0;
  for (; place < scores.length && places.length < count; place++) {
    const score = scores[place]!;
    insert(places, keys, place, Number.isFinite(score) ? score : Infinity);
  }
  if (count === 0) return places;
  // Nearly all of many are no better than those that were found by then.
  for (;;) {
    place = nextBelow(scores, place, keys.at(-1)!);
    if (place === scores.length) return places;
    const score = scores[place]!;
    if (score > -Infinity) {
      places.pop();
      keys.pop();
      insert(places, keys, place, score);
    }
    place++;
  }
}

function insert(places: number[], keys: number[], place: number, key: number): void {
  let at = places.push(place) - 1;
  keys.push(key);
  for (; at > 0 && key < keys[at - 1]!; at--) {
    keys[at] = keys[at - 1]!;
    places[at] = places[at - 1]!;
  }
  keys[at] = key;
  places[at] = place;
}

/** The first place from `from` on with a score below that bound; the length where there is none. */
function nextBelow(scores: Float64Array, from: number, bound: number): number {
  for (let place = from; place < scores.length; place++) if (scores[place]! < bound) return place;
  return scores.length;
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
  const spread = spreadOfSeen(length);
  if (spread === undefined || (spread.min > -Infinity && spread.max < Infinity)) return spread;
  for (let place = 0; place < length; place++) if (!Number.isFinite(seen[place]!)) seen[place] = NaN;
  return spreadOfSeen(length);
}

/**
 * Of all that are not NaN; of two medians the upper one. Most workers of a fleet with little to do are alike, so any of them may well
 * be it, and nothing need be sorted.
 */
function spreadOfSeen(length: number): Spread | undefined {
  const scores = seen;
  let middle = length >> 1;
  while (middle < length - 1 && Number.isNaN(scores[middle]!)) middle++;
  const guess = scores[middle]!;
  let count = 0;
  let below = 0;
  let alike = 0;
  let min = Infinity;
  let max = -Infinity;
  for (let place = 0; place < length; place++) {
    const score = scores[place]!;
    if (!Number.isNaN(score)) count++;
    if (score < min) min = score;
    if (score > max) max = score;
    if (score < guess) below++;
    if (score === guess) alike++;
  }
  if (count === 0) return undefined;
  const place = count >> 1;
  let median = guess;
  if (Number.isNaN(guess)) median = nthLowest(left, place, gather(length, -Infinity, Infinity));
  else if (place < below) median = nthLowest(left, place, gather(length, -Infinity, guess));
  else if (place >= below + alike)
    median = nthLowest(left, place - below - alike, gather(length, guess, Infinity));
  return { count, min, median, max };
}

/** Fills `left` with those between, and returns how many they are. */
function gather(length: number, above: number, below: number): number {
  const scores = seen;
  const into = left;
  let count = 0;
  for (let at = 0; at < length; at++) {
    const score = scores[at]!;
    into[count] = score;
    if (score > above && score < below) count++;
  }
  return count;
}
