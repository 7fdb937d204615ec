import type { Examination } from './examine.ts';

/** What an examination says for and against a worker that wants to be admitted: a line for each finding. */
export interface Admittance {
  /** None: it may come in. */
  readonly failures: readonly string[];
  readonly warnings: readonly string[];
}

export function admittanceOf(examinations: readonly Examination[]): Admittance {
  const linesOf = (wanted: 'fail' | 'warn'): string[] =>
    examinations.flatMap(({ worker, results }) =>
      results
        .filter(({ mark }) => mark === wanted)
        .map(({ check, text, remedy = '' }) => {
          const which = examinations.length === 1 ? '' : `${worker} `;
          return `${which}${check}: ${text}. ${remedy}`.trim();
        }),
    );
  return { failures: linesOf('fail'), warnings: linesOf('warn') };
}
