import { element, escapeText } from './svg/markup.ts';

/** Texts; the first of each row names it. Columns of numbers stand right, those of words left. */
export function dataTable(
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const ofWords = heads.map((_, column) => rows.some((row) => !NUMERIC.test(row[column] ?? '')));
  const body = rows.map(([name = '', ...cells]) =>
    element(
      'tr',
      {},
      rowHead(name),
      ...cells.map((cell, index) =>
        element('td', { class: ofWords[index + 1] === true ? 'words' : undefined }, ...cellParts(cell)),
      ),
    ),
  );
  return table(caption, heads, body, ofWords);
}

const NUMERIC = /^[-–\d.,±%()s ]*$|^NaN$/;

/** `body` are rows of markup. What is wider than the page scrolls, with the names of the rows in place. */
export function table(
  caption: string,
  heads: readonly string[],
  body: readonly string[],
  ofWords: readonly boolean[] = [],
): string {
  const head = heads.map((text, column) =>
    element('th', { scope: 'col', class: ofWords[column] === true ? 'words' : undefined }, escapeText(text)),
  );
  return element(
    'div',
    { class: 'scroll' },
    element(
      'table',
      {},
      element('caption', {}, element('span', {}, escapeText(caption))),
      element('thead', {}, element('tr', {}, ...head)),
      element('tbody', {}, ...body),
    ),
  );
}

export function rowHead(name: string): string {
  return element('th', { scope: 'row' }, escapeText(name));
}

/** What a number may be off stands below it. */
function cellParts(text: string): string[] {
  const [value = '', within] = text.split(' ±');
  const shown = escapeText(value === 'NaN' ? '–' : value);
  return within === undefined ? [shown] : [shown, plusMinus(within)];
}

export function plusMinus(text: string): string {
  return element('span', { class: 'pm' }, escapeText(` ±${text}`));
}
