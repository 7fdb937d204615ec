import type { Lab } from './lab.ts';

/** What a case found out. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  /** `%`, `tokens`, `ms`, ... */
  readonly unit: string;
  /** The bar: the value has to be at least, or at most, this. */
  readonly least?: number;
  readonly most?: number;
  /** Whatever a reader needs beside it. */
  readonly note?: string;
}

/** One thing that is shown with real servers. */
export interface VllmCase {
  readonly name: string;
  readonly about: string;
  /** Throws where it cannot be shown at all. `say` tells how far it is. */
  run(lab: Lab, say: (text: string) => void): Promise<readonly Figure[]>;
}

export function isWithin({ value, least = -Infinity, most = Infinity }: Figure): boolean {
  return value >= least && value <= most;
}

/** A yes or no as a figure: how many of all things that were looked at are as they should be. */
export function allOf(what: string, wrong: readonly string[], count: number): Figure {
  const note = wrong.length === 0 ? undefined : wrong.join('; ');
  return {
    what,
    value: count - wrong.length,
    unit: `of ${String(count)}`,
    least: count,
    ...(note && { note }),
  };
}
