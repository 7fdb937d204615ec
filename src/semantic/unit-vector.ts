/** A direction: vectors of length 1, so that the cosine of two is the sum of their products. */
export type UnitVector = Float32Array;

/** Of any length but none; undefined where it has none, or is none of finite numbers. */
export function unitVector(values: ArrayLike<number>): UnitVector | undefined {
  let squares = 0;
  for (let at = 0; at < values.length; at++) {
    const value = Number(values[at]);
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  if (!Number.isFinite(length) || length === 0) return undefined;
  const unit = new Float32Array(values.length);
  for (let at = 0; at < unit.length; at++) unit[at] = Number(values[at]) / length;
  return unit;
}

/** The direction of the mean of directions; undefined where they cancel each other out, or there are none. */
export function meanDirection(vectors: readonly UnitVector[]): UnitVector | undefined {
  const sum = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) for (let at = 0; at < sum.length; at++) sum[at]! += vector[at] ?? 0;
  return unitVector(sum);
}

/** -1 to 1; 0 where they are not of the same space. */
export function cosine(left: UnitVector, right: UnitVector): number {
  if (left.length !== right.length) return 0;
  let sum = 0;
  for (let at = 0; at < left.length; at++) sum += left[at]! * right[at]!;
  return Math.max(-1, Math.min(1, sum));
}
