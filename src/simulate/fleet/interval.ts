/** The mean of several runs and how far the true mean may lie from it with 95% confidence; NaN from one run. */
export interface Interval {
  readonly mean: number;
  readonly plusMinus: number;
}

/** Student's t, two-sided 95%, for 1 to 30 degrees of freedom. */
const T95 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const T95_MANY = 1.96;

export function interval(values: readonly number[]): Interval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count < 2) return { mean, plusMinus: NaN };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, plusMinus: (T95[count - 2] ?? T95_MANY) * Math.sqrt(variance / count) };
}
