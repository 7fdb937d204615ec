import { distance } from '../../base/suggest.ts';

/** Longer names are not compared. */
const LONGEST = 128;
/** Steps of all comparisons together: a wrong name must not hold up the requests of others (about 1 ms). */
const MOST_STEPS = 100_000;

/**
 * The name that was probably meant, or undefined when none is near enough: the fewest edits, at most a quarter of the
 * asked name's length; else the only one with the same last part (behind the last slash). Case does not count. Looks at
 * as many names as the time allows, those of a similar length first.
 */
export function nearestName(
  asked: string,
  names: readonly string[],
  mayName: (name: string) => boolean,
): string | undefined {
  if (asked.length < 2 || asked.length > LONGEST) return undefined;
  const wanted = asked.toLowerCase();
  const most = Math.max(1, Math.floor(wanted.length / 4));
  let best: string | undefined;
  let bestEdits = most + 1;
  let steps = 0;
  for (const name of byLength(names, wanted.length, most)) {
    steps += wanted.length * name.length;
    if (steps > MOST_STEPS) break;
    const away = distance(wanted, name.toLowerCase());
    if (away >= bestEdits || !mayName(name)) continue;
    best = name;
    bestEdits = away;
  }
  return best ?? sameLastPart(wanted, names, mayName);
}

/** Those whose length alone does not put them too far away, the nearest length first. */
function byLength(names: readonly string[], length: number, most: number): string[] {
  const away = (name: string): number => Math.abs(name.length - length);
  return names
    .filter((name) => name.length <= LONGEST && away(name) <= most)
    .sort((left, right) => away(left) - away(right));
}

/** `Llama-3.1-70B` for `meta-llama/Llama-3.1-70B`, and the other way round. */
function sameLastPart(
  wanted: string,
  names: readonly string[],
  mayName: (name: string) => boolean,
): string | undefined {
  const last = lastPart(wanted);
  const same = names.filter(
    (name) => name.length <= 2 * LONGEST && lastPart(name.toLowerCase()) === last && mayName(name),
  );
  return same.length === 1 ? same[0] : undefined;
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}
