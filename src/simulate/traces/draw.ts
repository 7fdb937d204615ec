import type { Random } from '../../base/random.ts';

export function drawExponential(random: Random, mean: number): number {
  return -Math.log(1 - random()) * mean;
}

/** With this median; `sigma` is the standard deviation of the logarithm. */
export function drawLogNormal(random: Random, median: number, sigma: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return median * Math.exp(sigma * normal);
}

/** A whole number near the drawn one, within bounds. */
export function drawTokens(
  random: Random,
  {
    median,
    sigma,
    least,
    most,
  }: { readonly median: number; readonly sigma: number; readonly least: number; readonly most: number },
): number {
  return Math.round(Math.min(most, Math.max(least, drawLogNormal(random, median, sigma))));
}
