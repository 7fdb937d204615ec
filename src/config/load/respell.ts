import type { SchemaNode } from '../schema/schema-node.ts';

/**
 * A value of several levels, with the names inside of it in the spelling of the schema instead of the source's. Names
 * that the schema does not know stay, for the message about them; so do those that a mapping has of its own.
 */
export function respelled(node: SchemaNode, value: unknown, spell: (segment: string) => string): unknown {
  const variants = [node, ...(node.anyOf ?? []), ...(node.oneOf ?? [])];
  if (Array.isArray(value)) {
    const item = variants.find(({ items }) => items !== undefined)?.items;
    return item ? value.map((one: unknown) => respelled(item, one, spell)) : value;
  }
  if (!isPlain(value)) return value;
  const known = new Map<string, readonly [name: string, node: SchemaNode]>();
  for (const { properties } of variants)
    for (const [name, child] of Object.entries(properties ?? {})) known.set(spell(name), [name, child]);
  const free = variants.map((one) => one.additionalProperties).find((one) => typeof one === 'object');
  return Object.fromEntries(
    Object.entries(value).map(([given, inner]) => {
      const [name, child] = known.get(given) ?? [given, free];
      return [name, child ? respelled(child, inner, spell) : inner];
    }),
  );
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
