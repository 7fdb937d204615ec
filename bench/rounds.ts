import type { Measured } from './load/protocol.ts';
import type { Target } from './targets.ts';

/** What one target measured in each round. */
export interface Rounds {
  readonly target: string;
  readonly results: Measured[];
}

/**
 * Every target once per round, round after round: what else the machine does then falls on all of them alike, and the
 * median leaves out the rounds it spoiled.
 */
export async function inRounds(
  part: string,
  targets: readonly Target[],
  rounds: number,
  measure: (target: Target) => Promise<Measured>,
): Promise<Rounds[]> {
  const all = targets.map((target) => ({ target: target.name, results: [] as Measured[] }));
  for (let round = 1; round <= rounds; round += 1) {
    for (const [index, target] of targets.entries()) {
      progress(`${part}: round ${round} of ${rounds}, ${target.name}`);
      const result = await measure(target);
      if (result.errors > 0)
        progress(`  ${target.name}: ${result.errors} errors, first: ${result.problem ?? ''}`);
      all[index]?.results.push(result);
    }
  }
  return all;
}

export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/** Of the rounds that measured something: on a busy machine a short one may see no request end. */
export function medianOf(rounds: Rounds, read: (result: Measured) => number): number {
  return median(rounds.results.map(read).filter((value) => Number.isFinite(value)));
}

export function errorsOf(rounds: Rounds): number {
  return rounds.results.reduce((sum, { errors }) => sum + errors, 0);
}

/** Median over the rounds of a ratio taken within each round: what the machine did meanwhile cancels out. */
export function ratioOf(above: Rounds, below: Rounds, read: (result: Measured) => number): number {
  const ratios = above.results.map((result, round) => {
    const other = below.results[round];
    return other === undefined ? NaN : read(result) / read(other);
  });
  return median(ratios.filter((ratio) => Number.isFinite(ratio)));
}

/** The same for a difference. */
export function differenceOf(from: Rounds, base: Rounds, read: (result: Measured) => number): number {
  const differences = from.results.map((result, round) => {
    const other = base.results[round];
    return other === undefined ? NaN : read(result) - read(other);
  });
  return median(differences.filter((difference) => Number.isFinite(difference)));
}

/** Of those named, the one with the lowest value; one that was left out, measured nothing or had errors does not count. */
export function lowestOf(
  all: readonly Rounds[],
  names: readonly string[],
  read: (rounds: Rounds) => number,
): Rounds | undefined {
  let lowest: Rounds | undefined;
  for (const rounds of all) {
    if (!names.includes(rounds.target) || !Number.isFinite(read(rounds)) || errorsOf(rounds) > 0) continue;
    if (!lowest || read(rounds) < read(lowest)) lowest = rounds;
  }
  return lowest;
}

/** Of two differences. One that is not above 0 was lost in the noise of the machine, and says nothing of the other. */
export function ratioOfAdded(above: number, below: number): number {
  return above > 0 && below > 0 ? above / below : NaN;
}
