/** A Prometheus histogram in the making: counts per upper bound, sum and count. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.bounds;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] ?? 0)) i++;
    this.counts[i] = (this.counts[i] ?? 0) + 1;
    this.sum += value;
    this.count++;
  }
}

/** Its series as Prometheus has them. */
export function histogramLines(
  lines: string[],
  name: string,
  label: (more: string) => string,
  histogram: Histogram,
): void {
  let total = 0;
  for (const [i, bound] of histogram.bounds.entries()) {
    total += histogram.counts[i] ?? 0;
    const le = Number.isInteger(bound) ? `${bound}.0` : String(bound);
    lines.push(`vllm:${name}_bucket${label(`le="${le}",`)} ${total}`);
  }
  lines.push(`vllm:${name}_bucket${label('le="+Inf",')} ${histogram.count}`);
  lines.push(
    `vllm:${name}_sum${label('')} ${histogram.sum}`,
    `vllm:${name}_count${label('')} ${histogram.count}`,
  );
}
