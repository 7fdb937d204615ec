const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Elements of HTML that have no end tag. */
const VOID = new Set(['meta', 'input', 'br']);

export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element with attributes escaped. Children are markup: text goes through `escapeText` first. */
export function element(name: string, attributes: Attributes = {}, ...children: readonly string[]): string {
  const given = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? short(value) : escapeText(value ?? '')}"`);
  const head = `<${name}${given.join('')}>`;
  return VOID.has(name) ? head : `${head}${children.join('')}</${name}>`;
}

/** At most two digits behind the point. */
export function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
