import type { ConfigKey } from '../schema/keys.ts';

/**
 * Reads a value given as text (flag or variable). What does not fit the kind is handed on as the text it is: the schema
 * refuses it with the message that every source gets.
 */
export function parseText(key: ConfigKey, text: string): unknown {
  switch (key.kind) {
    case 'integer':
      return /^[+-]?\d+$/.test(text) ? Number(text) : text;
    case 'number':
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
    case 'boolean':
      if (text === 'true' || text === '1') return true;
      return text === 'false' || text === '0' ? false : text;
    case 'list':
      return words(text);
    case 'map':
      return parseMap(words(text));
    default:
      return text;
  }
}

const words = (text: string): string[] => text.split(/[\s,]+/).filter((word) => word !== '');

/** `name=value` items. Values may contain `=` (keys in base64 do), names may not. */
function parseMap(items: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    items.map((item) => {
      const equals = item.indexOf('=');
      return equals < 0 ? [item, undefined] : [item.slice(0, equals), item.slice(equals + 1)];
    }),
  );
}
