import { seededRandom, type Random } from '../../src/base/random.ts';
import type { Verdict } from './verdict.ts';

const MOST_SHOWN = 20;

export interface Fuzzed {
  readonly same: number;
  /** Texts that llhttp takes and we refuse, by our reason. */
  readonly stricter: ReadonlyMap<string, number>;
  /** The first of those that we take and llhttp refuses or reads otherwise. */
  readonly looser: readonly Extract<Verdict, { kind: 'looser' }>[];
}

/** Compares that many texts; the same ones for the same seed. */
export function fuzz(
  compare: (random: Random) => Verdict,
  messages: number,
  seed: number,
  onProgress: (done: number) => void = () => undefined,
): Fuzzed {
  const random = seededRandom(seed);
  const stricter = new Map<string, number>();
  const looser: Extract<Verdict, { kind: 'looser' }>[] = [];
  let same = 0;
  for (let done = 1; done <= messages; done += 1) {
    const verdict = compare(random);
    if (verdict.kind === 'same') same += 1;
    else if (verdict.kind === 'stricter') stricter.set(verdict.why, (stricter.get(verdict.why) ?? 0) + 1);
    else if (looser.length < MOST_SHOWN) looser.push(verdict);
    onProgress(done);
  }
  return { same, stricter, looser };
}
