import type { Fleet } from './fleet.ts';

export type Labels = Readonly<Record<string, string>>;

/** One scrape. */
export interface Scrape {
  /** The series of that name with exactly these labels; 0 when there is none. */
  value(name: string, labels?: Labels): number;
  /** All series of that name that have these labels among others, added up. */
  sum(name: string, labels?: Labels): number;
}

interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

export async function scrape(fleet: Pick<Fleet, 'metrics'>): Promise<Scrape> {
  const samples = [...samplesOf(await fleet.metrics())];
  const matching = (name: string, labels: Labels): Sample[] =>
    samples.filter(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    );
  return {
    sum: (name, labels = {}) => matching(name, labels).reduce((sum, { value }) => sum + value, 0),
    value: (name, labels = {}) =>
      matching(name, labels).find(
        (sample) => Object.keys(sample.labels).length === Object.keys(labels).length,
      )?.value ?? 0,
  };
}

function* samplesOf(exposition: string): Generator<Sample> {
  for (const line of exposition.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const pairs = [...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    yield {
      name: match[1] ?? '',
      labels: Object.fromEntries(pairs.map(([, key, value]) => [key, value])) as Labels,
      value: Number(match[3]),
    };
  }
}
