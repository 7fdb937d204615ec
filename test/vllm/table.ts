import { isWithin, type Figure } from './case.ts';

export interface CaseResult {
  readonly name: string;
  readonly seconds: number;
  /** A text: why there are none. */
  readonly figures: readonly Figure[] | string;
}

/** For people: a line for each figure, `!` where it is out of its bounds. */
export function resultTable(results: readonly CaseResult[]): string {
  const lines: string[] = [];
  for (const { name, seconds, figures } of results) {
    lines.push(`${name} (${seconds.toFixed(0)} s)`);
    if (typeof figures === 'string') lines.push(`  ! ${figures}`);
    else
      for (const figure of figures)
        lines.push(
          `  ${isWithin(figure) ? ' ' : '!'} ${figure.what}: ${number(figure.value)} ${figure.unit}${bounds(figure)}${figure.note === undefined ? '' : `\n      ${figure.note}`}`,
        );
  }
  return `${lines.join('\n')}\n`;
}

export function hasPassed({ figures }: CaseResult): boolean {
  return typeof figures !== 'string' && figures.every(isWithin);
}

function number(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(2);
}

function bounds({ least, most }: Figure): string {
  if (least === undefined && most === undefined) return '';
  if (least === most) return ` (has to be ${number(least ?? 0)})`;
  return least === undefined ? ` (at most ${number(most ?? 0)})` : ` (at least ${number(least)})`;
}
