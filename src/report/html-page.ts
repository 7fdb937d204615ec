import { SCRIPT, STYLE } from './html-style.ts';
import { seriesClass } from './svg/line-chart.ts';
import { element, escapeText } from './svg/markup.ts';

/** Nothing but what is in the page itself. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** A self-contained page: nothing is fetched from anywhere. `parts` are markup. */
export function htmlPage(title: string, ...parts: readonly string[]): string {
  const head = element(
    'head',
    {},
    element('meta', { charset: 'utf-8' }),
    element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
    element('meta', { 'http-equiv': 'Content-Security-Policy', content: POLICY }),
    element('title', {}, escapeText(title)),
    element('style', {}, STYLE),
  );
  const body = element('body', {}, ...parts, element('script', {}, SCRIPT));
  return `<!doctype html>\n${element('html', { lang: 'en' }, head, body)}\n`;
}

/** What the curves of the charts mean, and which of them are shown. */
export function legend(names: readonly string[]): string {
  const entries = names.map((name, style) =>
    element(
      'label',
      {},
      element('input', { type: 'checkbox', value: style, checked: '', autocomplete: 'off' }),
      element(
        'svg',
        { viewBox: '0 0 28 10', class: seriesClass(style), 'aria-hidden': 'true' },
        element('path', { class: 'line', d: 'M0 5L28 5' }),
      ),
      escapeText(name),
    ),
  );
  return element('fieldset', { class: 'legend', 'aria-label': 'Policies in the charts' }, ...entries);
}
