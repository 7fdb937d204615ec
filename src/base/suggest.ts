/** Edits between two words: insertions, deletions, substitutions and swaps of neighbours, one each. */
export function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, (beforeLast[column - 2] ?? 0) + 1);
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}

const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_.]+/g, '');

/** The candidate that was probably meant, or undefined when none is near. Case, `-`, `_` and `.` do not count. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const wanted = plain(word);
  if (wanted.length < 2 || wanted.length > 64) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 4)) + 1;
  for (const candidate of candidates) {
    const away = distance(wanted, plain(candidate));
    if (away < bestDistance) {
      best = candidate;
      bestDistance = away;
    }
  }
  if (best !== undefined || wanted.length < 5) return best;
  // Part of one name, but for the ending, and of one only: `interval` for `check_interval_secs`.
  const stem = wanted.slice(0, -1);
  const containing = candidates.filter((candidate) => plain(candidate).includes(stem));
  return containing.length === 1 ? containing[0] : undefined;
}

/** `; did you mean X?`, or nothing. */
export function didYouMean(candidate: string | undefined): string {
  return candidate === undefined ? '' : `; did you mean ${candidate}?`;
}
