import { element, escapeText } from './svg/markup.ts';

/** Texts; the first of each row names it. */
export function dataTable(
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const body = rows.map(([name = '', ...cells]) =>
    element('tr', {}, rowHead(name), ...cells.map((cell) => element('td', {}, escapeText(plain(cell))))),
  );
  return table(caption, heads, body);
}

/** `body` are rows of markup. */
export function table(caption: string, heads: readonly string[], body: readonly string[]): string {
  const head = heads.map((text) => element('th', { scope: 'col' }, escapeText(text)));
  return element(
    'div',
    { class: 'scroll' },
    element(
      'table',
      {},
      element('caption', {}, escapeText(caption)),
      element('thead', {}, element('tr', {}, ...head)),
      element('tbody', {}, ...body),
    ),
  );
}

export function rowHead(name: string): string {
  return element('th', { scope: 'row' }, escapeText(name));
}

function plain(text: string): string {
  return text === 'NaN' ? '–' : text;
}
