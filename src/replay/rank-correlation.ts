/** Spearman's rank correlation of pairs; equal values share the mean of their ranks. NaN where one side does not vary. */
export function rankCorrelation(pairs: readonly (readonly [number, number])[]): number {
  const left = ranksOf(pairs.map(([value]) => value));
  const right = ranksOf(pairs.map(([, value]) => value));
  const mean = (pairs.length - 1) / 2;
  let both = 0;
  let ofLeft = 0;
  let ofRight = 0;
  for (const [index, rank] of left.entries()) {
    const [a, b] = [rank - mean, (right[index] ?? 0) - mean];
    both += a * b;
    ofLeft += a * a;
    ofRight += b * b;
  }
  return both / Math.sqrt(ofLeft * ofRight);
}

function ranksOf(values: readonly number[]): Float64Array {
  const order = [...values.keys()].sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1] ?? 0] === values[order[from] ?? 0]) to += 1;
    for (let at = from; at <= to; at += 1) ranks[order[at] ?? 0] = (from + to) / 2;
    from = to + 1;
  }
  return ranks;
}
