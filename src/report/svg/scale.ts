export interface Tick {
  readonly value: number;
  readonly label: string;
}

/** From values to places on an axis. */
export interface Scale {
  readonly place: (value: number) => number;
  readonly ticks: readonly Tick[];
}

/** Ends of an axis in the picture, e.g. left and right. */
export type Span = readonly [from: number, to: number];

const WANTED_TICKS = 5;

/** From 0 to `most` or a little beyond. */
export function linearScale(most: number, [from, to]: Span): Scale {
  const end = most > 0 && Number.isFinite(most) ? most : 1;
  const step = niceStep(end / WANTED_TICKS);
  const count = Math.ceil(end / step - 1e-9);
  const top = count * step;
  return {
    place: (value) => from + (Math.min(Math.max(value, 0), top) / top) * (to - from),
    ticks: Array.from({ length: count + 1 }, (_, index) => tick(index * step)),
  };
}

function niceStep(step: number): number {
  const unit = 10 ** Math.floor(Math.log10(step));
  return unit * ([1, 2, 5].find((factor) => factor * unit >= step * (1 - 1e-9)) ?? 10);
}

/** For positive values; what lies outside of `least` to `most` is put on its ends. */
export function logScale(least: number, most: number, [from, to]: Span): Scale {
  const low = least > 0 && Number.isFinite(least) ? least : 0.001;
  const high = most > low && Number.isFinite(most) ? most : low * 10;
  const width = Math.log(high / low);
  const decades = Math.log10(high / low);
  const factors = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 3, 5];
  const ticks: Tick[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) ticks.push(tick(value));
    }
  return {
    place: (value) => from + (Math.log(Math.min(Math.max(value, low), high) / low) / width) * (to - from),
    ticks: ticks.length > 0 ? ticks : [tick(low), tick(high)],
  };
}

function tick(value: number): Tick {
  return { value, label: String(Number(value.toPrecision(3))) };
}
